/* Floods of plain lines: a line that is printed and scrolls off again within the bytes of one call
   needs no rows. The sink and the screen get the same result as if each line had been put into
   rows. */
#include "screen_internal.h"

#include <string.h>

#define LINES 1024 /* lines that are handled together */

_Static_assert(SCREEN_PLAIN_MAX + SCREEN_SIZE_MAX + STYLE_SGR_MAX <= SCREEN_LINE_MAX,
               "autowrap joins such a line, whatever its rows");
_Static_assert(SCREEN_SIZE_MAX <= SCREEN_PLAIN_MAX, "a line that fills a row is none too long");

struct plain_line {
    const uint8_t *text;
    size_t length;
};

/* Whether a line begins in the bottom row, so that each new line makes one leave the window. */
static bool is_scrolling(const struct screen *screen)
{
    const struct cursor *cursor = &screen->cursor;
    uint32_t bottom = screen->rows - 1;
    const struct row *row = screen_row(screen, bottom);

    return cursor->x == 0 && cursor->y == bottom && cursor->style == 0 && screen->link == 0 &&
           !screen->alternate && !screen->insert && screen->region_top == 0 &&
           screen->region_bottom == bottom && !row->written && !row->reported && !row->unseen &&
           !row->wrapped &&
           !(bottom == 0 ? screen->partial_open : screen_row(screen, bottom - 1)->wrapped);
}

/* Whether everything about the rows above was reported. */
static bool is_settled(const struct screen *screen)
{
    for (uint32_t y = 0; y + 1 < screen->rows; y++) {
        const struct row *row = screen_row(screen, y);
        if (row->unseen || !row->reported)
            return false;
    }
    return !screen->partial_unseen;
}

/* Finds complete lines of at most `most` bytes that consist of text only, up to the first line that
   does not. *looked_at: the position of that line. Returns the number of lines. */
static size_t find_lines(const uint8_t *bytes, size_t size, size_t most,
                         struct plain_line lines[LINES], const uint8_t **looked_at)
{
    const uint8_t *at = bytes, *end = bytes + size;
    size_t count = 0;

    while (count < LINES) {
        size_t length = printable_span(at, (size_t)(end - at));
        const uint8_t *stop = at + length;

        stop += stop < end && *stop == '\r';
        if (length > most || stop == end || *stop != '\n')
            break;
        lines[count++] = (struct plain_line){at, length};
        at = stop + 1;
    }
    *looked_at = at;
    return count;
}

static void emit_lines(struct screen *screen, const struct plain_line *lines, size_t count)
{
    struct text *text = &screen->scratch;
    uint64_t line = screen->final_count;
    size_t waiting = 0;

    text->length = 0;
    for (size_t i = 0; i < count; i++, line++) {
        const struct plain_line *at = &lines[i];

        if (text->length + at->length + 1 > SCREEN_LINE_MAX) {
            emit_final(screen, waiting, text->bytes, text->length);
            text->length = waiting = 0;
        }
        if (screen->sink.seen)
            screen->sink.seen(screen->sink.context, line, (const char *)at->text, at->length,
                              false);
        if (waiting++ > 0)
            text->bytes[text->length++] = '\n';
        memcpy(text->bytes + text->length, at->text, at->length);
        text->length += at->length;
    }
    emit_final(screen, waiting, text->bytes, text->length);
}

/* The number of rows of a line that autowrap breaks. */
static uint64_t height(const struct screen *screen, size_t length)
{
    return length == 0 ? 1 : (length + screen->cols - 1) / screen->cols;
}

/* Leaves the lines that can stay in the window, as many as it has rows; they are put into rows from
   the top on. */
size_t pass_plain_lines(struct screen *screen, const uint8_t *bytes, size_t size,
                        const uint8_t **looked_at)
{
    struct plain_line lines[LINES];
    size_t rows = screen->rows, count;
    size_t most = screen->autowrap ? SCREEN_PLAIN_MAX : screen->cols;

    if (size / 2 < rows || !is_scrolling(screen))
        return 0;
    count = find_lines(bytes, size, most, lines, looked_at);
    if (count == 0 || count / 2 < rows)
        return 0;
    if (!is_settled(screen)) {
        *looked_at = lines[rows].text; /* by then all unreported rows have left the window */
        return 0;
    }
    count -= rows;
    for (uint32_t y = 0; y + 1 < screen->rows; y++) {
        finish_row(screen, screen_row(screen, y));
        row_clear(screen_row(screen, y));
    }
    note_change(screen, screen->final_count);
    emit_lines(screen, lines, count);
    screen->base += screen->rows - 1;
    for (size_t i = 0; i < count; i++)
        screen->base += height(screen, lines[i].length);
    screen->cursor.y = 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): found */
    return (size_t)(lines[count].text - bytes);
}
