/* Declarations for the files of the screen: its rows, styles and state. Only parse/screen*.c
 * include this file. */
#ifndef NIXFLEET_SCREEN_INTERNAL_H
#define NIXFLEET_SCREEN_INTERNAL_H

#include "screen.h"

#include "../common/hyperlink.h"
#include "../common/utf8.h"

/* ---- styles (screen_style.c) ---- */

/* Colours and attributes in one word: 26 bits of foreground, 26 of background, 12 of attributes. 0
 * is the default. */
typedef uint64_t style;

#define STYLE_SGR_MAX 80 /* bytes of the longest sequence that style_encode writes */
#define CSI_PARAMS 32

struct csi {
    uint32_t param[CSI_PARAMS]; /* each at most CSI_PARAM_MAX */
    bool given[CSI_PARAMS];     /* for SGR colours, an empty parameter differs from 0 */
    bool colon[CSI_PARAMS]; /* this one is a subparameter: a colon joins it to the previous one */
    unsigned count;
    char prefix;       /* one of "<=>?"; 0: none */
    char intermediate; /* the last of 0x20-0x2f; 0: none */
    bool ignored;      /* malformed */
};
#define CSI_PARAM_MAX 65535

/* The style after an SGR sequence. */
style style_apply(style now, const struct csi *csi);
/* Writes the sequence that turns the default style into this one: at most STYLE_SGR_MAX bytes, not
 * terminated. Returns its size. */
size_t style_encode(style value, char *out);

/* ---- rows (screen_row.c) ---- */

#define CELL_GLYPH 1 /* in ascii[]: the character is in glyph[] */
#define CELL_REST 2  /* in ascii[]: the right half of the wide character before it */
/* bytes of a character with its combining marks; further marks are dropped */
#define GLYPH_BYTES 21

#define ZERO_WIDTH_JOINER 0x200d

/* A combining character. Marks of one column are in order of arrival. */
struct mark {
    uint16_t col;
    uint32_t codepoint;
};

/* Columns from 0 to used are known; the rest is blank and in the default style. Almost all text is
   ASCII in the default style and needs only ascii[]; styled, wide and linked tell whether the other
   arrays are used. A row with links is styled, too. */
struct row {
    uint8_t *ascii; /* 0x20 to 0x7e, or CELL_... */
    style *styles;
    uint32_t *glyph;
    uint16_t *links;    /* of each cell: 0, or the number of a hyperlink */
    struct mark *marks; /* in the order of columns */
    uint32_t mark_count, mark_capacity;
    uint32_t used, capacity;
    bool styled, wide, linked;
    bool written;  /* not blank since the row was emptied, even if everything was erased again */
    bool wrapped;  /* the text continues in the next row */
    bool unseen;   /* has text that the sink has not seen */
    bool reported; /* the sink has seen the row since it was blank */
    bool changed;  /* since screen_take_changed */
};

/* Makes space for capacity columns. Returns 0, or -1 when out of memory. The functions below drop
 * what has no space. */
int row_reserve(struct row *row, uint32_t capacity);
void row_free(struct row *row);
void row_clear(struct row *row);
void row_put_ascii(struct row *row, uint32_t col, const uint8_t *text, uint32_t count, style value);
void row_put_glyph(struct row *row, uint32_t col, uint32_t codepoint, unsigned width, style value);
void row_combine(struct row *row, uint32_t col, uint32_t codepoint);
/* Cells that were just written belong to this hyperlink; 0: to none. */
void row_link(struct row *row, uint32_t from, uint32_t to, uint16_t link);
void row_erase(struct row *row, uint32_t from, uint32_t to);
void row_insert_cells(struct row *row, uint32_t col, uint32_t count, uint32_t cols);
void row_delete_cells(struct row *row, uint32_t col, uint32_t count, uint32_t cols);

/* ---- hyperlinks (screen_link.c) ---- */

/* Targets that are known at a time. If the screen shows more, the text of the others has no link.
 */
#define LINKS 512

/* Link number i has target[i - 1]; NULL: the number is free. */
struct links {
    char *target[LINKS];
    unsigned count;
    unsigned pause; /* new links to pass over before the next look for targets without a cell */
};

struct screen;
/* The number of the link that an OSC 8 begins: "PARAMETERS;TARGET". 0: none, or a target that is
 * not kept. */
uint16_t link_begin(struct screen *screen, const char *osc, size_t length);
void links_free(struct links *links);

/* ---- text (screen_text.c) ---- */

/* A line in its final form while it is built. */
struct text {
    size_t length;
    size_t link_bytes; /* of length: sequences of links. The rest is at most SCREEN_LINE_MAX */
    style current;
    uint16_t link; /* the link that the next character would belong to */
    char bytes[SCREEN_LINE_MAX + SCREEN_LINKS_MAX];
};

/* The most bytes that a row can add to a line, without its links. */
size_t row_cost(const struct row *row);
static inline size_t text_cost(const struct text *text)
{
    return text->length - text->link_bytes;
}
void text_clear(struct text *text);
/* What does not fit is dropped, links and colours first. */
void text_add_row(struct text *text, const struct row *row, const struct links *links);
void text_add_plain(struct text *text, const struct row *row);
void text_add_stripped(struct text *text, const struct text *coloured); /* without sequences */
void text_end(struct text *text); /* ends the link, returns to the default style */

unsigned codepoint_width(uint32_t codepoint); /* columns: 0, 1 or 2 (screen_width.c) */

/* ---- the screen (screen.c, screen_edit.c, screen_plain.c, screen_lines.c) ---- */

enum parser_state {
    PARSER_GROUND,
    PARSER_ESCAPE,
    PARSER_ESCAPE_INTERMEDIATE,
    PARSER_CSI,
    PARSER_OSC,   /* ends at BEL or ST, or as PARSER_STRING */
    PARSER_STRING /* DCS, APC, PM, SOS: ends at ST, at an LF, and after STRING_MAX bytes */
};

struct cursor {
    uint32_t x, y; /* x may be equal to cols: then the next character wraps */
    style style;
    bool origin;
};

/* row[(top + i) % rows] is row i of the window. Everything above row 0 is final, except rows that
   row 0 continues: their text is in partial while partial_open is set. Row i begins a line unless
   row i - 1 (or partial_open, for row 0) is marked as wrapped. */
struct screen {
    struct screen_sink sink;
    struct row *row;
    uint32_t rows, cols, top;
    uint64_t base; /* rows that left the window: base + i is the permanent number of row i */

    struct cursor cursor, saved, before_alternate;
    uint32_t region_top, region_bottom; /* both rows are in the region */
    bool insert, autowrap, alternate, was_alternate;
    bool jumped; /* the cursor was moved, so the next character may begin a rewrite */
    bool homed;  /* the last movement named a position (CUP), as programs do before they clear */
    bool last_valid;
    uint32_t last; /* the last character, for REP and joiners */
    uint8_t tabs[(SCREEN_SIZE_MAX + 7) / 8];

    enum parser_state state;
    bool string_escape;                   /* in a string, the last byte was ESC */
    uint32_t string_size;                 /* bytes of the string so far */
    char osc[HYPERLINK_TARGET_MAX + 256]; /* the first bytes of an OSC */
    uint16_t link;                        /* the hyperlink of what is printed next; 0: none */
    struct links links;
    struct csi csi;
    char escape_intermediate;
    uint32_t utf8_codepoint, utf8_low,
        utf8_high; /* an incomplete character: its bits so far, and the limits of its next byte */
    unsigned utf8_missing;

    uint64_t final_count, changed_low;
    struct text partial;
    bool partial_open, partial_unseen;
    /* autowrap: bytes of the line before this row (a permanent number), if known */
    uint64_t joined_row;
    size_t joined_bytes;
    /* the line of this row (a permanent number), if hint_valid is set */
    uint64_t hint_row, hint_line;
    bool hint_valid;
    struct text scratch;
};

static inline struct row *screen_row(const struct screen *screen, uint32_t index)
{
    uint32_t at = screen->top + index;
    return &screen->row[at < screen->rows ? at : at - screen->rows];
}

void parser_feed(struct screen *screen, const uint8_t *bytes, size_t size); /* screen_parser.c */
/* The number of printable ASCII bytes at the start. */
size_t printable_span(const uint8_t *bytes, size_t size);
/* To be called after an LF in the ground state. Takes plain lines at the start of the bytes that
   would also scroll off within these bytes (screen_plain.c). The next line then begins in row 0,
   with enough rows to fill the window. *looked_at: no call is useful before this position. Returns
   the number of bytes that were taken. */
size_t pass_plain_lines(struct screen *screen, const uint8_t *bytes, size_t size,
                        const uint8_t **looked_at);
void csi_dispatch(struct screen *screen, char final); /* screen_csi.c */
void screen_restore_cursor(struct screen *screen, const struct cursor *from);
void screen_reset(struct screen *screen);
void screen_set_tab_defaults(struct screen *screen);

/* Printing at the cursor, with autowrap. */
void print_text(struct screen *screen, const uint8_t *text,
                size_t count); /* ASCII, at least one byte */
void print_ascii(struct screen *screen, const uint8_t *text, size_t count);
void pass_over(struct screen *screen, unsigned width);
void print_codepoint(struct screen *screen, uint32_t codepoint);
/* Moving the cursor, scrolling, editing and erasing. */
void move_to(struct screen *screen, uint32_t x, uint32_t y);
void line_feed(struct screen *screen);
void reverse_line_feed(struct screen *screen);
void scroll_up(struct screen *screen, uint32_t count);
void scroll_down(struct screen *screen, uint32_t count);
void insert_lines(struct screen *screen, uint32_t count);
void delete_lines(struct screen *screen, uint32_t count);
void erase_cells(struct screen *screen, uint32_t y, uint32_t from, uint32_t to);
void clear_to_history(struct screen *screen);
void fill_with_e(struct screen *screen);

/* Reports the line of row y to the sink, unless the sink has seen it. */
void report_line(struct screen *screen, uint32_t y, bool redrawn);
void touch_row(struct screen *screen, struct row *row);  /* call before a change of its text */
void finish_row(struct screen *screen, struct row *row); /* the row leaves the window for ever */
void close_partial(struct screen *screen);
/* Reports that the next `count` lines are final. text: with an LF between lines. */
void emit_final(struct screen *screen, size_t count, const char *text, size_t length);
void note_change(struct screen *screen, uint64_t line); /* of this line, or a line below it */
uint64_t line_of_row(struct screen *screen, uint32_t y);

#endif
