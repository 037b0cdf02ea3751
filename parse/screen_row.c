/* One row of the window: its cells, and the operations on them. */
#include "screen_internal.h"

#include <stdlib.h>
#include <string.h>

/* The four arrays are one allocation, which styles points to. */
int row_reserve(struct row *row, uint32_t capacity)
{
    if (capacity <= row->capacity)
        return 0;
    style *styles = malloc(capacity * (sizeof(style) + sizeof(uint32_t) + sizeof(uint16_t) + 1));
    if (!styles)
        return -1;
    uint32_t *glyph = (uint32_t *)(void *)(styles + capacity);
    uint16_t *links = (uint16_t *)(void *)(glyph + capacity);
    uint8_t *ascii = (uint8_t *)(links + capacity);
    if (row->used) {
        memcpy(ascii, row->ascii, row->used);
        if (row->styled)
            memcpy(styles, row->styles, row->used * sizeof *styles);
        if (row->wide)
            memcpy(glyph, row->glyph, row->used * sizeof *glyph);
        if (row->linked)
            memcpy(links, row->links, row->used * sizeof *links);
    }
    free(row->styles);
    row->styles = styles;
    row->glyph = glyph;
    row->links = links;
    row->ascii = ascii;
    row->capacity = capacity;
    return 0;
}

void row_free(struct row *row)
{
    free(row->styles);
    free(row->marks);
}

void row_clear(struct row *row)
{
    row->used = row->mark_count = 0;
    row->styled = row->wide = row->linked = false;
    row->written = row->wrapped = row->unseen = row->reported = false;
}

static void drop_marks(struct row *row, uint32_t from, uint32_t to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < row->mark_count; i++)
        if (row->marks[i].col < from || row->marks[i].col >= to)
            row->marks[kept++] = row->marks[i];
    row->mark_count = kept;
}

/* Cells from..to will be replaced: a wide character that loses one half becomes blank in the other
 * half. */
static void break_wide(struct row *row, uint32_t from, uint32_t to)
{
    if (from > 0 && from < row->used && row->ascii[from] == CELL_REST) {
        row->ascii[from - 1] = ' ';
        from--;
    }
    if (to < row->used && row->ascii[to] == CELL_REST)
        row->ascii[to] = ' ';
    if (row->mark_count && row->marks[row->mark_count - 1].col >= from)
        drop_marks(row, from, to);
}

static void extend(struct row *row, uint32_t col)
{
    if (row->used >= col)
        return;
    memset(row->ascii + row->used, ' ', col - row->used);
    if (row->styled)
        memset(row->styles + row->used, 0, (col - row->used) * sizeof *row->styles);
    if (row->linked)
        memset(row->links + row->used, 0, (col - row->used) * sizeof *row->links);
    row->used = col;
}

/* To be called before cells from..to are written in a style; they lose their links. */
static void set_style(struct row *row, uint32_t from, uint32_t to, style value)
{
    if (!row->styled) {
        if (value == 0)
            return;
        memset(row->styles, 0, row->used * sizeof *row->styles);
        row->styled = true;
    }
    for (uint32_t i = from; i < to; i++)
        row->styles[i] = value;
    if (row->linked)
        memset(row->links + from, 0, (to - from) * sizeof *row->links);
}

void row_link(struct row *row, uint32_t from, uint32_t to, uint16_t link)
{
    if (link == 0)
        return;
    if (!row->styled)
        memset(row->styles, 0, row->used * sizeof *row->styles);
    if (!row->linked)
        memset(row->links, 0, row->used * sizeof *row->links);
    row->styled = row->linked = true;
    for (uint32_t i = from; i < to; i++)
        row->links[i] = link;
}

void row_put_ascii(struct row *row, uint32_t col, const uint8_t *text, uint32_t count, style value)
{
    if (row->used < col)
        extend(row, col);
    else if (row->wide)
        break_wide(row, col, col + count);
    row->written = true;
    memcpy(row->ascii + col, text, count);
    set_style(row, col, col + count, value);
    if (row->used < col + count)
        row->used = col + count;
}

void row_put_glyph(struct row *row, uint32_t col, uint32_t codepoint, unsigned width, style value)
{
    extend(row, col);
    if (row->wide)
        break_wide(row, col, col + width);
    row->wide = row->written = true;
    row->ascii[col] = CELL_GLYPH;
    row->glyph[col] = codepoint;
    if (width == 2)
        row->ascii[col + 1] = CELL_REST;
    set_style(row, col, col + width, value);
    if (row->used < col + width)
        row->used = col + width;
}

void row_combine(struct row *row, uint32_t col, uint32_t codepoint)
{
    char utf8[4];
    size_t bytes = utf8_encode(codepoint, utf8);

    extend(row, col + 1);
    row->written = true;
    if (row->ascii[col] == CELL_REST && col > 0)
        col--;
    bytes += row->ascii[col] == CELL_GLYPH ? utf8_encode(row->glyph[col], utf8) : 1;
    uint32_t at = row->mark_count;
    while (at > 0 && row->marks[at - 1].col > col)
        at--;
    for (uint32_t i = at; i > 0 && row->marks[i - 1].col == col; i--)
        bytes += utf8_encode(row->marks[i - 1].codepoint, utf8);
    if (bytes > GLYPH_BYTES)
        return;
    if (row->mark_count == row->mark_capacity) {
        uint32_t capacity = row->mark_capacity ? 2 * row->mark_capacity : 8;
        struct mark *marks = realloc(row->marks, capacity * sizeof *marks);
        if (!marks)
            return; /* the mark is lost, but not the line */
        row->marks = marks;
        row->mark_capacity = capacity;
    }
    row->wide = true;
    if (row->ascii[col] >= ' ') {
        row->glyph[col] = row->ascii[col];
        row->ascii[col] = CELL_GLYPH;
    }
    memmove(row->marks + at + 1, row->marks + at, (row->mark_count - at) * sizeof *row->marks);
    row->marks[at] = (struct mark){(uint16_t)col, codepoint};
    row->mark_count++;
}

static void cut(struct row *row, uint32_t from)
{
    if (row->wide)
        break_wide(row, from, row->used);
    row->used = from;
}

void row_erase(struct row *row, uint32_t from, uint32_t to)
{
    if (from >= row->used)
        return;
    if (to >= row->used && !row->wrapped) {
        cut(row, from);
        return;
    }
    if (row->wide)
        break_wide(row, from, to);
    to = to < row->used ? to
                        : row->used; /* blanks before the next row of the line belong to the line */
    memset(row->ascii + from, ' ', to - from);
    set_style(row, from, to, 0);
}

/* Moves count cells with their marks. The marks of the target cells must be removed before. */
static void move_cells(struct row *row, uint32_t to, uint32_t from, uint32_t count)
{
    memmove(row->ascii + to, row->ascii + from, count);
    if (row->styled)
        memmove(row->styles + to, row->styles + from, count * sizeof *row->styles);
    if (row->wide)
        memmove(row->glyph + to, row->glyph + from, count * sizeof *row->glyph);
    if (row->linked)
        memmove(row->links + to, row->links + from, count * sizeof *row->links);
    for (uint32_t i = 0; i < row->mark_count; i++)
        if (row->marks[i].col >= from && row->marks[i].col < from + count)
            row->marks[i].col = (uint16_t)(row->marks[i].col - from + to);
}

void row_insert_cells(struct row *row, uint32_t col, uint32_t count, uint32_t cols)
{
    if (col >= row->used || col >= cols)
        return;
    if (count > cols - col)
        count = cols - col;
    if (row->wide)
        break_wide(row, col, col); /* a wide character is cut here */
    if (row->used > cols - count)
        cut(row, cols - count);
    if (col < row->used) {
        uint32_t tail = row->used - col;
        row->used += count;
        move_cells(row, col + count, col, tail);
        memset(row->ascii + col, ' ', count);
        set_style(row, col, col + count, 0);
    }
}

void row_delete_cells(struct row *row, uint32_t col, uint32_t count, uint32_t cols)
{
    if (col >= row->used || col >= cols)
        return;
    if (count >= row->used - col) {
        row_erase(row, col, row->used);
        return;
    }
    if (row->wide)
        break_wide(row, col, col + count);
    move_cells(row, col, col + count, row->used - col - count);
    row_erase(row, row->used - count, row->used);
}
