/* From rows to lines: the line of a row, when the sink sees it, and when it is final. */
#include "screen_internal.h"

#include <string.h>

static bool begins_line(const struct screen *screen, uint32_t y)
{
    return y == 0 ? !screen->partial_open : !screen_row(screen, y - 1)->wrapped;
}

static uint32_t first_of_line(const struct screen *screen, uint32_t y)
{
    while (y > 0 && !begins_line(screen, y))
        y--;
    return y;
}

static uint32_t last_of_line(const struct screen *screen, uint32_t y)
{
    while (y + 1 < screen->rows && screen_row(screen, y)->wrapped)
        y++;
    return y;
}

/* Counts from the row of the last call, or from the top, because the cursor moves row by row. */
uint64_t line_of_row(struct screen *screen, uint32_t y)
{
    uint32_t from = 0;
    uint64_t line = screen->final_count;

    if (screen->hint_valid && screen->hint_row >= screen->base &&
        screen->hint_row - screen->base < screen->rows) {
        from = (uint32_t)(screen->hint_row - screen->base);
        line = screen->hint_line;
    }
    for (; from < y; from++)
        line += !screen_row(screen, from)->wrapped;
    for (; from > y; from--)
        line -= !screen_row(screen, from - 1)->wrapped;
    screen->hint_row = screen->base + y;
    screen->hint_line = line;
    screen->hint_valid = true;
    return line;
}

/* The plain text of the line between two rows; directly from the row where possible. */
static const char *plain_line(struct screen *screen, uint32_t first, uint32_t last, size_t *length)
{
    const struct row *row = screen_row(screen, first);
    struct text *text = &screen->scratch;

    if (first == last && !row->wide && !(first == 0 && screen->partial_open)) {
        *length = row->used;
        return (const char *)row->ascii;
    }
    text_clear(text);
    if (first == 0 && screen->partial_open)
        text_add_stripped(text, &screen->partial);
    for (uint32_t y = first; y <= last; y++)
        text_add_plain(text, screen_row(screen, y));
    *length = text->length;
    return text->bytes;
}

void report_line(struct screen *screen, uint32_t y, bool redrawn)
{
    uint32_t first = first_of_line(screen, y), last = last_of_line(screen, y);
    bool continues = first == 0 && screen->partial_open;
    bool unseen = continues && screen->partial_unseen;
    size_t length;

    for (uint32_t i = first; i <= last && !unseen; i++) {
        const struct row *row = screen_row(screen, i);
        unseen = row->unseen || (!redrawn && !row->reported);
    }
    if (!unseen)
        return;
    for (uint32_t i = first; i <= last; i++) {
        struct row *row = screen_row(screen, i);
        row->unseen = false;
        row->reported = true;
    }
    if (continues)
        screen->partial_unseen = false;
    uint64_t line = line_of_row(screen, first);
    if (screen->sink.seen) {
        const char *text = plain_line(screen, first, last, &length);
        screen->sink.seen(screen->sink.context, line, text, length, redrawn);
    }
}

void screen_look(struct screen *screen)
{
    uint32_t y = screen->cursor.y, first = first_of_line(screen, y);
    size_t length;
    const char *text;

    if (!screen->sink.seen || screen->alternate || !screen_row(screen, y)->unseen)
        return;
    text = plain_line(screen, first, last_of_line(screen, y), &length);
    screen->sink.seen(screen->sink.context, line_of_row(screen, first), text, length, true);
}

static void emit_one_by_one(struct screen *screen, uint64_t line, const char *text, size_t length)
{
    const char *end = text + length, *lf;

    for (; (lf = memchr(text, '\n', (size_t)(end - text))); text = lf + 1)
        screen->sink.final(screen->sink.context, line++, text, (size_t)(lf - text));
    screen->sink.final(screen->sink.context, line, text, (size_t)(end - text));
}

void emit_final(struct screen *screen, size_t count, const char *text, size_t length)
{
    uint64_t line = screen->final_count;

    screen->final_count += count;
    if (count > 1 && screen->sink.finals)
        screen->sink.finals(screen->sink.context, line, count, text, length);
    else if (count > 1 && screen->sink.final)
        emit_one_by_one(screen, line, text, length);
    else if (screen->sink.final)
        screen->sink.final(screen->sink.context, line, text, length);
}

void note_change(struct screen *screen, uint64_t line)
{
    if (line < screen->changed_low)
        screen->changed_low = line;
}

void close_partial(struct screen *screen)
{
    struct text *text = &screen->scratch;

    if (!screen->partial_open)
        return;
    note_change(screen, screen->final_count);
    screen->partial_open = false;
    screen->hint_valid = false;
    if (screen->partial_unseen && screen->sink.seen) {
        text_clear(text);
        text_add_stripped(text, &screen->partial);
        screen->sink.seen(screen->sink.context, screen->final_count, text->bytes, text->length,
                          false);
    }
    screen->partial_unseen = false;
    text_end(&screen->partial);
    emit_final(screen, 1, screen->partial.bytes, screen->partial.length);
}

void finish_row(struct screen *screen, struct row *row)
{
    if (row->changed)
        note_change(screen, screen->final_count);
    row->changed = false;
    if (!screen->partial_open && !row->wrapped && !row->styled && !row->wide) {
        if ((row->unseen || !row->reported) && screen->sink.seen)
            screen->sink.seen(screen->sink.context, screen->final_count, (const char *)row->ascii,
                              row->used, false);
        emit_final(screen, 1, (const char *)row->ascii, row->used);
        return;
    }
    /* Rows that were joined by rewriting can be longer together than autowrap allows. */
    if (screen->partial_open && text_cost(&screen->partial) + row_cost(row) > SCREEN_LINE_MAX)
        close_partial(screen);
    if (!screen->partial_open) {
        screen->partial_open = true;
        screen->partial_unseen = false;
        text_clear(&screen->partial);
    }
    text_add_row(&screen->partial, row, &screen->links);
    screen->partial_unseen |= row->unseen || !row->reported;
    if (!row->wrapped)
        close_partial(screen);
}

static bool is_blank(const struct row *row)
{
    for (uint32_t i = 0; i < row->used; i++)
        if (row->ascii[i] != ' ')
            return false;
    return true;
}

uint64_t screen_final_count(const struct screen *screen)
{
    return screen->final_count;
}

/* The number of rows up to the last one that shows something. */
static uint32_t rows_in_use(const struct screen *screen)
{
    uint32_t count = screen->rows;
    while (count > 0 && is_blank(screen_row(screen, count - 1)))
        count--;
    return count;
}

uint64_t screen_line_count(const struct screen *screen)
{
    uint64_t count = screen->final_count + screen->partial_open;
    uint32_t used = rows_in_use(screen);
    for (uint32_t y = 0; y < used; y++)
        count += begins_line(screen, y);
    return count;
}

const char *screen_live_line(struct screen *screen, uint64_t number, size_t *length)
{
    struct text *text = &screen->scratch;
    uint32_t used = rows_in_use(screen), first = 0, last;
    uint64_t line = screen->final_count;
    bool continues = screen->partial_open && number == line;

    if (number < line || number >= screen_line_count(screen))
        return NULL;
    for (first = 0; first < used; first++) {
        if (first > 0 && begins_line(screen, first))
            line++;
        if (line == number)
            break;
    }
    text_clear(text);
    if (continues) {
        memcpy(text->bytes, screen->partial.bytes, screen->partial.length);
        text->length = screen->partial.length;
        text->link_bytes = screen->partial.link_bytes;
        text->current = screen->partial.current;
        text->link = screen->partial.link;
    }
    if (first < screen->rows) {
        last = last_of_line(screen, first);
        for (uint32_t y = first; y <= last; y++)
            text_add_row(text, screen_row(screen, y), &screen->links);
    }
    text_end(text);
    *length = text->length;
    return text->bytes;
}

uint64_t screen_take_changed(struct screen *screen)
{
    uint64_t count = screen_line_count(screen), low = screen->changed_low;
    bool found = false;

    for (uint32_t y = 0; y < screen->rows; y++) {
        struct row *row = screen_row(screen, y);
        if (row->changed && !found) {
            uint64_t line = line_of_row(screen, y);
            low = line < low ? line : low;
            found = true;
        }
        row->changed = false;
    }
    screen->changed_low = UINT64_MAX;
    return low < count ? low : count;
}
