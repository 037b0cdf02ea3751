/* From cells to text: joins rows into a line, with SGR sequences for styles or without. */
#include "screen_internal.h"

#include <string.h>

static const char reset[] = {'\033', '[', 'm'};
#define NO_LINK_SIZE (strlen(HYPERLINK_START) + strlen(HYPERLINK_END)) /* what ends a link */

void text_clear(struct text *text)
{
    text->length = text->link_bytes = 0;
    text->current = 0;
    text->link = 0;
}

static size_t text_bytes(const struct row *row)
{
    return row->wide ? row->used * 4 + row->mark_count * 4 : row->used;
}

size_t row_cost(const struct row *row)
{
    size_t cost = text_bytes(row);
    if (row->styled) {
        style current = 0;
        for (uint32_t i = 0; i < row->used; i++)
            if (row->styles[i] != current) {
                current = row->styles[i];
                cost += STYLE_SGR_MAX;
            }
    }
    return cost;
}

/* Space is reserved for the reset at the end. */
static size_t space_left(const struct text *text)
{
    return SCREEN_LINE_MAX - sizeof reset - text_cost(text);
}

static void add(struct text *text, const void *bytes, size_t length)
{
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void add_codepoint(struct text *text, uint32_t codepoint)
{
    char utf8[4];
    size_t length = utf8_encode(codepoint, utf8);
    if (length <= space_left(text))
        add(text, utf8, length);
}

static uint32_t first_mark(const struct row *row, uint32_t col)
{
    uint32_t low = 0, high = row->mark_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (row->marks[middle].col < col)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_cells(struct text *text, const struct row *row, uint32_t from, uint32_t to)
{
    uint32_t mark;

    if (!row->wide) {
        size_t length = to - from;
        add(text, row->ascii + from, length <= space_left(text) ? length : space_left(text));
        return;
    }
    mark = first_mark(row, from);
    for (uint32_t i = from; i < to; i++) {
        if (row->ascii[i] == CELL_REST)
            continue;
        add_codepoint(text, row->ascii[i] == CELL_GLYPH ? row->glyph[i] : row->ascii[i]);
        for (; mark < row->mark_count && row->marks[mark].col == i; mark++)
            add_codepoint(text, row->marks[mark].codepoint);
    }
}

/* Changes from the current style to another one: only a reset if that is enough, otherwise from the
 * default style, which is always correct. */
static void change_style(struct text *text, style to, size_t keep)
{
    char sgr[STYLE_SGR_MAX + sizeof reset];
    size_t length = 0;

    if (text->current != 0) {
        memcpy(sgr, reset, sizeof reset);
        length = sizeof reset;
    }
    if (to != 0)
        length += style_encode(to, sgr + length);
    if (space_left(text) < keep + length)
        return;
    add(text, sgr, length);
    text->current = to;
}

static void add_link(struct text *text, const char *target)
{
    size_t before = text->length;

    add(text, HYPERLINK_START, strlen(HYPERLINK_START));
    add(text, target, strlen(target));
    add(text, HYPERLINK_END, strlen(HYPERLINK_END));
    text->link_bytes += text->length - before;
}

/* The end of a link has its space from its beginning on. */
static void change_link(struct text *text, uint16_t to, const struct links *links)
{
    const char *target = to ? links->target[to - 1] : NULL;

    if (text->link)
        add_link(text, "");
    text->link = 0;
    if (!target || text->link_bytes + strlen(target) + 2 * NO_LINK_SIZE > SCREEN_LINKS_MAX)
        return;
    add_link(text, target);
    text->link = to;
}

void text_add_plain(struct text *text, const struct row *row)
{
    add_cells(text, row, 0, row->used);
}

/* The column behind the cells from `from` on that have one style and one link. */
static uint32_t same_until(const struct row *row, uint32_t from)
{
    uint32_t to = from + 1;

    if (!row->styled)
        return row->used;
    while (to < row->used && row->styles[to] == row->styles[from] &&
           (!row->linked || row->links[to] == row->links[from]))
        to++;
    return to;
}

void text_add_row(struct text *text, const struct row *row, const struct links *links)
{
    if (!row->styled && text->current == 0 && text->link == 0) {
        text_add_plain(text, row);
        return;
    }
    for (uint32_t from = 0, to; from < row->used; from = to) {
        style value = row->styled ? row->styles[from] : 0;
        uint16_t link = row->linked ? row->links[from] : 0;

        to = same_until(row, from);
        if (link != text->link)
            change_link(text, link, links);
        if (value != text->current)
            change_style(text, value, text_bytes(row));
        add_cells(text, row, from, to);
    }
}

/* The end of the sequence at escape; NULL: it has none. */
static const char *sequence_end(const char *escape, const char *end)
{
    size_t link = hyperlink_length(escape, (size_t)(end - escape));
    const char *last;

    if (link)
        return escape + link;
    last = memchr(escape, 'm', (size_t)(end - escape));
    return last ? last + 1 : NULL;
}

void text_add_stripped(struct text *text, const struct text *coloured)
{
    const char *at = coloured->bytes, *end = at + coloured->length;
    while (at < end) {
        const char *escape = memchr(at, '\033', (size_t)(end - at));
        size_t length = (size_t)((escape ? escape : end) - at);
        add(text, at, length <= space_left(text) ? length : space_left(text));
        if (!escape || !(at = sequence_end(escape, end)))
            return;
    }
}

void text_end(struct text *text)
{
    if (text->current != 0)
        add(text, reset, sizeof reset);
    text->current = 0;
    change_link(text, 0, NULL);
}
