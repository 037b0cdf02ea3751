/* Moves the cursor and changes cells: printing, scrolling, erasing, inserting. Coordinates are
 * relative to the window. */
#include "screen_internal.h"

#include <string.h>

static struct row *cursor_row(const struct screen *screen)
{
    return screen_row(screen, screen->cursor.y);
}

void move_to(struct screen *screen, uint32_t x, uint32_t y)
{
    screen->cursor.x = x < screen->cols ? x : screen->cols - 1;
    screen->cursor.y = y < screen->rows ? y : screen->rows - 1;
    screen->jumped = true;
}

/* Reports a row to the sink when a rewrite of it begins, that is, when the cursor was moved there.
   While text is written on from there, the row holds a mix of old and new text, which is not
   reported. */
void touch_row(struct screen *screen, struct row *row)
{
    if (screen->jumped && row->unseen) {
        for (uint32_t y = 0; y < screen->rows; y++)
            if (screen_row(screen, y) == row) {
                report_line(screen, y, true);
                break;
            }
    }
    row->changed = true;
}

static void about_to_write(struct screen *screen, struct row *row)
{
    if (screen->jumped) {
        if (row->unseen && screen->cursor.x < row->used)
            report_line(screen, screen->cursor.y, true);
        screen->jumped = false;
    }
    row->changed = true;
    row->unseen = true;
}

/* ---- scrolling ---- */

static void set_wrapped(struct screen *screen, uint32_t y, bool wrapped)
{
    struct row *row = screen_row(screen, y);
    if (row->wrapped == wrapped)
        return;
    row->wrapped = wrapped;
    row->changed = true;
    if (screen->hint_row > screen->base + y)
        screen->hint_valid = false;
}

static void swap_rows(struct screen *screen, uint32_t a, uint32_t b)
{
    struct row kept = *screen_row(screen, a);
    *screen_row(screen, a) = *screen_row(screen, b);
    *screen_row(screen, b) = kept;
}

/* Moves the count blank rows at the bottom to the top. */
static void blank_rows_to_top(struct screen *screen, uint32_t top, uint32_t bottom, uint32_t count)
{
    for (uint32_t y = bottom; y >= top + count; y--)
        swap_rows(screen, y, y - count);
    for (uint32_t y = top; y <= bottom; y++)
        screen_row(screen, y)->changed = true;
    screen->hint_valid = false;
    screen->joined_row = UINT64_MAX;
}

static void blank_rows_to_bottom(struct screen *screen, uint32_t top, uint32_t bottom,
                                 uint32_t count)
{
    for (uint32_t y = top; y + count <= bottom; y++)
        swap_rows(screen, y, y + count);
    for (uint32_t y = top; y <= bottom; y++)
        screen_row(screen, y)->changed = true;
    screen->hint_valid = false;
    screen->joined_row = UINT64_MAX;
}

/* The new content of row y does not continue the row above. */
static void begin_line(struct screen *screen, uint32_t y)
{
    if (y > 0)
        set_wrapped(screen, y - 1, false);
    else if (screen->partial_open)
        close_partial(screen);
}

/* The row above keeps its state: its text may still be marked as continuing here. */
static void empty_row(struct screen *screen, uint32_t y)
{
    struct row *row = screen_row(screen, y);
    if (row->unseen)
        report_line(screen, y, true);
    set_wrapped(screen, y, false);
    row_clear(row);
    row->changed = true;
}

static void blank_row(struct screen *screen, uint32_t y)
{
    if (screen_row(screen, y)->unseen)
        report_line(screen, y, true);
    begin_line(screen, y);
    empty_row(screen, y);
}

/* Rows at the top of the region become final; as in tmux, also if the region is not the whole
   window. count is at most the height of the region. */
static void scroll_region(struct screen *screen, uint32_t count)
{
    uint32_t top = screen->region_top, bottom = screen->region_bottom;
    bool window = top == 0 && bottom == screen->rows - 1;

    if (screen->alternate)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct row *row = screen_row(screen, window ? 0 : top + i);
        if (!window) /* the lines above the region move by one */
            note_change(screen, screen->final_count);
        finish_row(screen, row);
        row_clear(row);
        if (window) {
            screen->top = screen->top + 1 == screen->rows ? 0 : screen->top + 1;
            screen->base++;
        }
    }
    if (!window)
        blank_rows_to_bottom(screen, top, bottom, count);
    for (uint32_t i = 0; i < count; i++)
        screen_row(screen, bottom - i)->changed = false;
}

void scroll_up(struct screen *screen, uint32_t count)
{
    uint32_t height = screen->region_bottom - screen->region_top + 1;
    scroll_region(screen, count < height ? count : height);
    screen->jumped = true;
}

/* Inserts blank rows at top; rows that are pushed below bottom are lost. Which rows still form one
   line is decided as in tmux, here and in pull_up: row `parted` does not continue any more. */
static void push_down(struct screen *screen, uint32_t top, uint32_t bottom, uint32_t count,
                      uint32_t parted)
{
    uint32_t height = bottom - top + 1;

    begin_line(screen, top);
    if (count >= height)
        count = height;
    else
        set_wrapped(screen, parted, false);
    for (uint32_t y = bottom + 1 - count; y <= bottom; y++)
        empty_row(screen, y);
    blank_rows_to_top(screen, top, bottom, count);
    screen->jumped = true;
}

static void pull_up(struct screen *screen, uint32_t top, uint32_t bottom, uint32_t count)
{
    uint32_t height = bottom - top + 1;

    if (count >= height)
        count = height;
    else
        set_wrapped(screen, bottom, false);
    for (uint32_t y = top; y < top + count; y++)
        blank_row(screen, y);
    blank_rows_to_bottom(screen, top, bottom, count);
    screen->jumped = true;
}

void scroll_down(struct screen *screen, uint32_t count)
{
    uint32_t top = screen->region_top;
    if (!screen->alternate)
        push_down(screen, top, screen->region_bottom, count, top);
}

static uint32_t end_of_lines(const struct screen *screen)
{
    uint32_t y = screen->cursor.y;
    return y >= screen->region_top && y <= screen->region_bottom ? screen->region_bottom
                                                                 : screen->rows - 1;
}

void insert_lines(struct screen *screen, uint32_t count)
{
    uint32_t y = screen->cursor.y, bottom = end_of_lines(screen), height = bottom - y + 1;
    bool outside = y < screen->region_top || y > screen->region_bottom;

    if (outside && count >= height)
        return;
    push_down(screen, y, bottom, count, y + count - 1);
    if (!outside && count < height && 2 * count != height)
        set_wrapped(screen, bottom - count, false);
}

void delete_lines(struct screen *screen, uint32_t count)
{
    pull_up(screen, screen->cursor.y, end_of_lines(screen), count);
}

static void next_row(struct screen *screen)
{
    if (screen->cursor.y == screen->region_bottom)
        scroll_region(screen, 1);
    else if (screen->cursor.y < screen->rows - 1)
        screen->cursor.y++;
}

void line_feed(struct screen *screen)
{
    if (!screen->alternate)
        report_line(screen, screen->cursor.y, false);
    next_row(screen);
    screen->jumped = true;
}

void reverse_line_feed(struct screen *screen)
{
    if (screen->cursor.y == screen->region_top)
        scroll_down(screen, 1);
    else if (screen->cursor.y > 0)
        screen->cursor.y--;
    screen->jumped = true;
}

/* ---- printing ---- */

/* Bytes of the line, up to and including row y. */
static size_t bytes_so_far(const struct screen *screen, uint32_t y)
{
    size_t bytes = row_cost(screen_row(screen, y));
    if (screen->joined_row == screen->base + y)
        return bytes + screen->joined_bytes;
    while (y > 0 && screen_row(screen, y - 1)->wrapped)
        bytes += row_cost(screen_row(screen, --y));
    if (y == 0 && screen->partial_open)
        bytes += text_cost(&screen->partial);
    return bytes;
}

/* Joins the row to the next one, unless the line would be too long with one more row like this. */
static void wrap(struct screen *screen)
{
    uint32_t y = screen->cursor.y;
    size_t row = row_cost(screen_row(screen, y)), bytes = bytes_so_far(screen, y);
    bool joined = bytes + row + STYLE_SGR_MAX <= SCREEN_LINE_MAX;

    set_wrapped(screen, y, joined);
    if (!joined)
        report_line(screen, y, false);
    next_row(screen);
    screen->cursor.x = 0;
    screen->joined_row = joined ? screen->base + screen->cursor.y : UINT64_MAX;
    screen->joined_bytes = bytes;
}

static void put_ascii(const struct screen *screen, struct row *row, const uint8_t *text,
                      uint32_t count)
{
    uint32_t x = screen->cursor.x;

    row_put_ascii(row, x, text, count, screen->cursor.style);
    row_link(row, x, x + count, screen->link);
}

/* Prints the part of a text that stays visible in the last column when autowrap is off. */
static void print_without_wrap(struct screen *screen, const uint8_t *text, size_t count)
{
    struct cursor *cursor = &screen->cursor;
    struct row *row = cursor_row(screen);
    uint32_t last = screen->cols - 1;

    if (cursor->x < last) {
        uint32_t fits = count < last - cursor->x ? (uint32_t)count : last - cursor->x;
        put_ascii(screen, row, text, fits);
        cursor->x += fits;
        text += fits;
        count -= fits;
    }
    if (count > 0) {
        cursor->x = last;
        put_ascii(screen, row, text + count - 1, 1);
    }
}

void print_ascii(struct screen *screen, const uint8_t *text, size_t count)
{
    struct cursor *cursor = &screen->cursor;

    while (count > 0) {
        if (cursor->x >= screen->cols && screen->autowrap)
            wrap(screen);
        struct row *row = cursor_row(screen);
        about_to_write(screen, row);
        if (!screen->autowrap) {
            print_without_wrap(screen, text, count);
            return;
        }
        uint32_t left = screen->cols - cursor->x;
        uint32_t fits = count < left ? (uint32_t)count : left;
        if (screen->insert)
            row_insert_cells(row, cursor->x, fits, screen->cols);
        put_ascii(screen, row, text, fits);
        cursor->x += fits;
        text += fits;
        count -= fits;
    }
}

static void combine(struct screen *screen, uint32_t codepoint)
{
    if (screen->cursor.x == 0 || screen->alternate)
        return;
    struct row *row = cursor_row(screen);
    row->changed = row->unseen = true;
    row_combine(row, screen->cursor.x - 1, codepoint);
}

/* A zero width joiner combines the characters on both sides into one. */
static bool after_joiner(const struct screen *screen)
{
    return screen->last_valid && screen->last == ZERO_WIDTH_JOINER;
}

/* Text that is printed on the alternate screen only moves the cursor. */
void pass_over(struct screen *screen, unsigned width)
{
    struct cursor *cursor = &screen->cursor;
    uint32_t end = screen->cols - !screen->autowrap;

    if (cursor->x + width > screen->cols && screen->autowrap) {
        next_row(screen);
        cursor->x = 0;
    }
    cursor->x = cursor->x + width < end ? cursor->x + width : end;
}

void print_codepoint(struct screen *screen, uint32_t codepoint)
{
    struct cursor *cursor = &screen->cursor;
    unsigned width = codepoint_width(codepoint);

    if (width == 0 || (after_joiner(screen) && cursor->x > 0)) {
        combine(screen, codepoint);
        return;
    }
    if (screen->alternate) {
        pass_over(screen, width);
        return;
    }
    if (width > screen->cols)
        return;
    if (cursor->x + width > screen->cols) {
        if (screen->autowrap)
            wrap(screen);
        else if (width > 1)
            return;
    }
    if (cursor->x >= screen->cols)
        cursor->x = screen->cols - 1;
    struct row *row = cursor_row(screen);
    about_to_write(screen, row);
    if (screen->insert)
        row_insert_cells(row, cursor->x, width, screen->cols);
    row_put_glyph(row, cursor->x, codepoint, width, cursor->style);
    row_link(row, cursor->x, cursor->x + width, screen->link);
    cursor->x += width;
    if (!screen->autowrap && cursor->x >= screen->cols)
        cursor->x = screen->cols - 1;
}

/* ---- erasing ---- */

void erase_cells(struct screen *screen, uint32_t y, uint32_t from, uint32_t to)
{
    struct row *row = screen_row(screen, y);

    if (from == 0 && to >= screen->cols) {
        blank_row(screen, y);
        return;
    }
    touch_row(screen, row);
    row_erase(row, from, to < screen->cols ? to : row->capacity);
}

/* The rows of the window become final, and the window blank: tmux also keeps a cleared screen, so
   nothing that was shown is lost. The cursor does not move. */
void clear_to_history(struct screen *screen)
{
    uint32_t used = screen->rows;
    if (screen->alternate)
        return;
    while (used > 0 && !screen_row(screen, used - 1)->written)
        used--;
    for (uint32_t y = 0; y < screen->rows; y++) {
        struct row *row = screen_row(screen, y);
        if (y < used)
            finish_row(screen, row);
        row_clear(row);
    }
    if (used < screen->rows)
        close_partial(screen);
    note_change(screen, screen->final_count); /* rows that are skipped may have counted as lines */
    screen->hint_valid = false;
    screen->joined_row = UINT64_MAX;
    screen->jumped = true;
}

void fill_with_e(struct screen *screen)
{
    uint8_t all[SCREEN_SIZE_MAX];
    memset(all, 'E', screen->cols);
    for (uint32_t y = 0; y < screen->rows && !screen->alternate; y++) {
        struct row *row = screen_row(screen, y);
        if (row->unseen)
            report_line(screen, y, true);
        row_put_ascii(row, 0, all, screen->cols, 0);
        row->changed = row->unseen = true;
    }
    screen->region_top = 0;
    screen->region_bottom = screen->rows - 1;
    move_to(screen, 0, 0);
}
