/* Creates, resizes and ends a screen. screen_parser.c splits bytes into sequences, screen_csi.c
   interprets these, screen_edit.c changes the rows, and screen_lines.c turns rows into lines.

   Where terminals differ, the screen does what tmux does, with these intended differences:

     - the alternate screen is not kept: what is printed there moves the cursor and is forgotten,
       and a full reset (RIS) ends it;
     - a window of another size does not wrap its rows anew, and final lines do not come back when
       it grows;
     - ESC [ 3 J does not remove lines that left the window: they are final;
     - LF returns to column 0, because the output of a pipe has no CR;
     - erased cells have no background colour;
     - insert mode and inserted cells lose nothing at the right margin, a wide character that loses
       a half is blank in the other half, and blanks that were erased before a row was wrapped are
       not kept;
     - lines longer than SCREEN_LINE_MAX are split;
     - invalid UTF-8 is replaced, and ends a sequence that contains it;
     - characters that Unicode does not assign take one column. */
#include "screen_internal.h"

#include <stdlib.h>
#include <string.h>

#define TAB_STOP 8

static uint32_t valid_size(uint32_t size, uint32_t if_none)
{
    if (size == 0)
        return if_none;
    return size < SCREEN_SIZE_MAX ? size : SCREEN_SIZE_MAX;
}

void screen_set_tab_defaults(struct screen *screen)
{
    memset(screen->tabs, 0, sizeof screen->tabs);
    for (uint32_t x = TAB_STOP; x < SCREEN_SIZE_MAX; x += TAB_STOP)
        screen->tabs[x / 8] |= (uint8_t)(1u << x % 8);
}

static void reset_modes(struct screen *screen)
{
    memset(&screen->cursor, 0, sizeof screen->cursor);
    screen->saved = screen->cursor;
    screen->region_top = 0;
    screen->region_bottom = screen->rows - 1;
    screen->insert = screen->alternate = screen->was_alternate = false;
    screen->autowrap = true;
    screen->jumped = true;
    screen->last_valid = false;
    screen->link = 0;
    screen_set_tab_defaults(screen);
}

/* RIS: what is shown becomes final lines. */
void screen_reset(struct screen *screen)
{
    screen->alternate = false;
    clear_to_history(screen);
    reset_modes(screen);
}

static void free_rows(struct row *row, uint32_t count)
{
    for (uint32_t y = 0; row && y < count; y++)
        row_free(&row[y]);
    free(row);
}

struct screen *screen_new(uint32_t rows, uint32_t cols, const struct screen_sink *sink)
{
    struct screen *screen = calloc(1, sizeof *screen);

    if (!screen)
        return NULL;
    screen->sink = *sink;
    screen->rows = valid_size(rows, SCREEN_ROWS);
    screen->cols = valid_size(cols, SCREEN_COLS);
    screen->row = calloc(screen->rows, sizeof *screen->row);
    for (uint32_t y = 0; screen->row && y < screen->rows; y++)
        if (row_reserve(&screen->row[y], screen->cols) != 0) {
            free_rows(screen->row, screen->rows);
            screen->row = NULL;
        }
    if (!screen->row) {
        free(screen);
        return NULL;
    }
    screen->joined_row = screen->changed_low = UINT64_MAX;
    reset_modes(screen);
    return screen;
}

void screen_free(struct screen *screen)
{
    if (!screen)
        return;
    free_rows(screen->row, screen->rows);
    links_free(&screen->links);
    free(screen);
}

void screen_feed(struct screen *screen, const void *bytes, size_t size)
{
    parser_feed(screen, bytes, size);
}

/* A lower window loses blank rows below the cursor first, then rows at the top, which become
   final. */
static void leave_rows(struct screen *screen, uint32_t count)
{
    bool alternate = screen->alternate;
    struct cursor *cursor = alternate ? &screen->before_alternate : &screen->cursor;
    uint32_t height = screen->rows;

    while (count > 0 && height - 1 > cursor->y && screen_row(screen, height - 1)->used == 0) {
        height--;
        count--;
    }
    screen->region_top = 0;
    screen->region_bottom = screen->rows - 1;
    screen->alternate = false;
    for (; count > 0; count--) {
        scroll_up(screen, 1);
        cursor->y -= cursor->y > 0;
        screen->saved.y -= screen->saved.y > 0;
    }
    screen->alternate = alternate;
}

static void clamp_cursor(const struct screen *screen, struct cursor *cursor)
{
    if (cursor->x >= screen->cols)
        cursor->x = screen->cols - 1;
    if (cursor->y >= screen->rows)
        cursor->y = screen->rows - 1;
}

void screen_resize(struct screen *screen, uint32_t rows, uint32_t cols)
{
    rows = valid_size(rows, SCREEN_ROWS);
    cols = valid_size(cols, SCREEN_COLS);
    if (rows == screen->rows && cols == screen->cols)
        return;
    struct row *row = calloc(rows, sizeof *row);
    if (!row)
        return;
    for (uint32_t y = 0; y < screen->rows; y++)
        if (row_reserve(screen_row(screen, y), cols) != 0) {
            free(row);
            return;
        }
    for (uint32_t y = screen->rows; y < rows; y++)
        if (row_reserve(&row[y], cols) != 0) {
            free_rows(row, rows);
            return;
        }
    if (rows < screen->rows)
        leave_rows(screen, screen->rows - rows);
    for (uint32_t y = 0; y < screen->rows; y++) {
        if (y < rows)
            row[y] = *screen_row(screen, y);
        else
            row_free(screen_row(screen, y));
    }
    free(screen->row);
    screen->row = row;
    screen->top = 0;
    screen->rows = rows;
    screen->cols = cols;
    screen->region_top = 0;
    screen->region_bottom = rows - 1;
    screen->hint_valid = false;
    screen->joined_row = UINT64_MAX;
    clamp_cursor(screen, &screen->cursor);
    clamp_cursor(screen, &screen->saved);
    clamp_cursor(screen, &screen->before_alternate);
}

void screen_finish(struct screen *screen)
{
    uint64_t end = screen_line_count(screen);
    uint32_t y;

    screen->alternate = false;
    for (y = 0; y < screen->rows && screen->final_count < end; y++)
        finish_row(screen, screen_row(screen, y));
    close_partial(screen);
    for (y = 0; y < screen->rows; y++)
        row_clear(screen_row(screen, y));
    screen->hint_valid = false;
    screen->joined_row = UINT64_MAX;
    screen->state = PARSER_GROUND;
    screen->utf8_missing = 0;
    reset_modes(screen);
}
