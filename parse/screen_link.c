/* Hyperlinks of terminals (OSC 8): the text between two sequences leads to a target. Only targets
   that a page may offer are kept, and only as long as a cell has them. */
#include "screen_internal.h"

#include <stdlib.h>
#include <string.h>

#define ENOUGH_FREE 16 /* numbers that a look must find free to be worth the next look */
#define PAUSE 4096     /* else as many links go without a number first */

static bool is_target(const char *known, const char *target, size_t length)
{
    return known && strncmp(known, target, length) == 0 && known[length] == '\0';
}

/* Forgets the targets that nothing has any more: no cell, no line that is being put together, and
   not what is printed next. */
static void forget_unused(struct screen *screen)
{
    bool used[LINKS + 1] = {false};
    struct links *links = &screen->links;

    used[screen->link] = true;
    if (screen->partial_open)
        used[screen->partial.link] = true;
    for (uint32_t y = 0; y < screen->rows; y++) {
        const struct row *row = screen_row(screen, y);

        for (uint32_t x = 0; row->linked && x < row->used; x++)
            used[row->links[x]] = true;
    }
    for (unsigned i = 0; i < LINKS; i++)
        if (links->target[i] && !used[i + 1]) {
            free(links->target[i]);
            links->target[i] = NULL;
            links->count--;
        }
}

/* A free place for a target; NULL if there is none. */
static char **find_place(struct screen *screen)
{
    struct links *links = &screen->links;

    if (links->count == LINKS) {
        if (links->pause > 0) {
            links->pause--;
            return NULL;
        }
        forget_unused(screen);
        if (LINKS - links->count < ENOUGH_FREE)
            links->pause = PAUSE;
    }
    for (unsigned i = 0; i < LINKS; i++)
        if (!links->target[i])
            return &links->target[i];
    return NULL;
}

uint16_t link_begin(struct screen *screen, const char *osc, size_t length)
{
    const char *target = memchr(osc, ';', length);
    struct links *links = &screen->links;
    char **place;

    if (!target)
        return 0;
    length -= (size_t)(++target - osc);
    if (!hyperlink_may_lead_to(target, length))
        return 0;
    for (unsigned i = 0; i < LINKS; i++)
        if (is_target(links->target[i], target, length))
            return (uint16_t)(i + 1);
    place = find_place(screen);
    if (!place || !(*place = strndup(target, length)))
        return 0;
    links->count++;
    return (uint16_t)(place - links->target + 1);
}

void links_free(struct links *links)
{
    for (unsigned i = 0; i < LINKS; i++)
        free(links->target[i]);
}
