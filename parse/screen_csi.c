/* Interprets control sequences (ESC [ …). */
#include "screen_internal.h"

#include <string.h>

/* A parameter for which 0 and absence mean 1. */
static uint32_t count_of(const struct csi *csi, unsigned index)
{
    return index < csi->count && csi->param[index] > 0 ? csi->param[index] : 1;
}

static uint32_t number_of(const struct csi *csi, unsigned index)
{
    return index < csi->count ? csi->param[index] : 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- the cursor ---- */

void screen_restore_cursor(struct screen *screen, const struct cursor *from)
{
    screen->cursor = *from;
    screen->cursor.x = least(from->x, screen->cols - 1);
    screen->cursor.y = least(from->y, screen->rows - 1);
    screen->jumped = true;
}

/* Up and down stop at the edge of the region, unless the cursor is beyond it. */
static void cursor_up(struct screen *screen, uint32_t count)
{
    uint32_t y = screen->cursor.y, top = y >= screen->region_top ? screen->region_top : 0;
    move_to(screen, screen->cursor.x, y - least(count, y - top));
}

static void cursor_down(struct screen *screen, uint32_t count)
{
    uint32_t y = screen->cursor.y;
    uint32_t bottom = y <= screen->region_bottom ? screen->region_bottom : screen->rows - 1;
    move_to(screen, screen->cursor.x, y + least(count, bottom - y));
}

static void cursor_row_to(struct screen *screen, uint32_t x, uint32_t row)
{
    uint32_t y = row - 1;
    if (screen->cursor.origin)
        y = least(y + screen->region_top, screen->region_bottom);
    move_to(screen, x, y);
}

static void cursor_left(struct screen *screen, uint32_t count)
{
    move_to(screen, screen->cursor.x - least(count, screen->cursor.x), screen->cursor.y);
}

static void tab_back(struct screen *screen, uint32_t count)
{
    uint32_t x = least(screen->cursor.x, screen->cols - 1);
    for (; count > 0 && x > 0; count--)
        do
            x--;
        while (x > 0 && !(screen->tabs[x / 8] & 1u << x % 8));
    move_to(screen, x, screen->cursor.y);
}

static void clear_tabs(struct screen *screen, uint32_t what)
{
    uint32_t x = screen->cursor.x;
    if (what == 3)
        memset(screen->tabs, 0, sizeof screen->tabs);
    else if (what == 0 && x < screen->cols)
        screen->tabs[x / 8] &= (uint8_t) ~(1u << x % 8);
}

/* ---- erasing and editing ---- */

static void erase_line(struct screen *screen, uint32_t what)
{
    uint32_t x = screen->cursor.x, y = screen->cursor.y;

    if (what == 0 && x < screen->cols)
        erase_cells(screen, y, x, screen->cols);
    else if (what == 1)
        erase_cells(screen, y, 0, x + 1);
    else if (what == 2)
        erase_cells(screen, y, 0, screen->cols);
}

/* A display that moves up to its first line and erases from there is redrawn, also if this line is
 * the first one of the screen. */
static void erase_display(struct screen *screen, uint32_t what)
{
    uint32_t y = screen->cursor.y;

    if (what == 2 || (what == 0 && y == 0 && screen->cursor.x == 0 && screen->homed)) {
        clear_to_history(screen);
    } else if (what == 0) {
        erase_line(screen, 0);
        while (++y < screen->rows)
            erase_cells(screen, y, 0, screen->cols);
    } else if (what == 1) {
        erase_line(screen, 1);
        while (y-- > 0)
            erase_cells(screen, y, 0, screen->cols);
    }
}

static void edit_cells(struct screen *screen, char final, uint32_t count)
{
    uint32_t x = screen->cursor.x;
    struct row *row = screen_row(screen, screen->cursor.y);

    if (x >= screen->cols)
        return;
    if (final == 'X') {
        erase_cells(screen, screen->cursor.y, x, x + count);
        return;
    }
    screen->jumped = true;
    touch_row(screen, row);
    row->written = true;
    if (final == '@')
        row_insert_cells(row, x, count, screen->cols);
    else
        row_delete_cells(row, x, count, screen->cols);
    row->unseen = row->used > 0;
}

/* REP repeats the ASCII character just before it, at most as often as there are cells from here to
   the end. */
static void repeat_last(struct screen *screen, uint32_t count)
{
    uint32_t again = least(count, screen->cols - least(screen->cursor.x, screen->cols));
    uint8_t byte = (uint8_t)screen->last;
    if (!screen->last_valid || screen->last > '~')
        return;
    while (again-- > 0)
        print_text(screen, &byte, 1);
}

static void set_region(struct screen *screen, const struct csi *csi)
{
    uint32_t top = count_of(csi, 0) - 1, bottom = screen->rows - 1;

    if (csi->count > 1 && csi->given[1])
        bottom = least(count_of(csi, 1) - 1, bottom);

    if (top >= bottom)
        return;
    screen->region_top = top;
    screen->region_bottom = bottom;
    move_to(screen, 0, 0);
}

/* ---- modes ---- */

/* The cursor returns to its earlier position if the sequence asks for it; as in tmux, also if the
   alternate screen was left already. */
static void set_alternate(struct screen *screen, bool on, bool with_cursor)
{
    if (on && !screen->alternate) {
        close_partial(screen);
        screen->before_alternate = screen->cursor;
        screen->was_alternate = true;
    } else if (!on && with_cursor && screen->was_alternate) {
        screen_restore_cursor(screen, &screen->before_alternate);
    } else if (!on) {
        move_to(screen, screen->cursor.x, screen->cursor.y);
    }
    screen->alternate = on;
}

static void set_mode(struct screen *screen, const struct csi *csi, bool on)
{
    for (unsigned i = 0; i < csi->count; i++) {
        uint32_t mode = csi->param[i];
        if (csi->prefix == '?' && (mode == 47 || mode == 1047 || mode == 1049))
            set_alternate(screen, on, mode == 1049);
        else if (csi->prefix == '?' && mode == 7)
            screen->autowrap = on;
        else if (csi->prefix == '?' && mode == 3) { /* 80 or 132 columns: clears the screen */
            cursor_row_to(screen, 0, 1);
            clear_to_history(screen);
        } else if (csi->prefix == '?' && mode == 6) {
            screen->cursor.origin = on;
            cursor_row_to(screen, 0, 1);
        } else if (csi->prefix == 0 && mode == 4)
            screen->insert = on;
    }
}

/* ---- dispatch ---- */

static void move_cursor(struct screen *screen, const struct csi *csi, char final)
{
    struct cursor *cursor = &screen->cursor;
    uint32_t count = count_of(csi, 0);

    screen->homed = final == 'H' || final == 'f';
    switch (final) {
    case 'A':
        cursor_up(screen, count);
        break;
    case 'B':
        cursor_down(screen, count);
        break;
    case 'C':
        move_to(screen, cursor->x + count, cursor->y);
        break;
    case 'D':
        cursor_left(screen, count);
        break;
    case 'E':
        cursor->x = 0;
        cursor_down(screen, count);
        break;
    case 'F':
        cursor->x = 0;
        cursor_up(screen, count);
        break;
    case 'G':
    case '`':
        move_to(screen, count - 1, cursor->y);
        break;
    case 'H':
    case 'f':
        cursor_row_to(screen, count_of(csi, 1) - 1, count);
        break;
    case 'Z':
        tab_back(screen, count);
        break;
    case 'd': { /* a cursor behind the last column stays there */
        uint32_t x = cursor->x;
        cursor_row_to(screen, x, count);
        cursor->x = x;
        break;
    }
    }
}

static void edit(struct screen *screen, const struct csi *csi, char final)
{
    if (screen->alternate && strchr("JKLMST@PX", final))
        return;
    switch (final) {
    case 'J':
        erase_display(screen, number_of(csi, 0));
        break;
    case 'K':
        erase_line(screen, number_of(csi, 0));
        break;
    case 'L':
        insert_lines(screen, count_of(csi, 0));
        break;
    case 'M':
        delete_lines(screen, count_of(csi, 0));
        break;
    case 'S':
        scroll_up(screen, count_of(csi, 0));
        break;
    case 'T':
        scroll_down(screen, count_of(csi, 0));
        break;
    case '@':
    case 'P':
    case 'X':
        edit_cells(screen, final, count_of(csi, 0));
        break;
    case 'b':
        repeat_last(screen, count_of(csi, 0));
        break;
    case 'g':
        clear_tabs(screen, number_of(csi, 0));
        break;
    case 'r':
        set_region(screen, csi);
        break;
    case 's':
        screen->saved = screen->cursor;
        break;
    case 'u':
        screen_restore_cursor(screen, &screen->saved);
        break;
    }
}

static bool is_movement(char final)
{
    return (final >= 'A' && final <= 'H') || final == 'Z' || final == 'd' || final == 'f' ||
           final == '`';
}

void csi_dispatch(struct screen *screen, char final)
{
    const struct csi *csi = &screen->csi;

    if (csi->intermediate)
        return;
    if (final == 'h' || final == 'l') {
        set_mode(screen, csi, final == 'h');
        return;
    }
    if (csi->prefix)
        return;
    if (final == 'm')
        screen->cursor.style = style_apply(screen->cursor.style, csi);
    else if (is_movement(final))
        move_cursor(screen, csi, final);
    else
        edit(screen, csi, final);
}
