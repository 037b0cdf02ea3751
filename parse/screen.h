/* Terminal bytes to lines, as a person saw them.

   A struct screen is the text part of a terminal: bytes move a cursor over a window of rows, and a
   row that scrolls off the top of the window is final. Rows that were broken by autowrap are joined
   back into one line, which is final when its last row has left. Lines are numbered from 0 in the
   order of the screen; what programs rewrite (progress bars, trees) is rewritten in its place and
   never comes twice. Behaviour follows tmux where terminals differ; the differences that are meant
   are listed in screen.c.

   Pure: no I/O, no locale, no globals. The result depends on the bytes and on the sizes alone,
   never on how the bytes are cut; but of what is fed at once the sink may hear of final lines
   before or after others are seen, together or one by one. Memory is bounded by the window: about
   16 bytes a cell. LF always returns to column 0. */
#ifndef NIXFLEET_SCREEN_H
#define NIXFLEET_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_ROWS 24 /* the window when none is given */
#define SCREEN_COLS 80
#define SCREEN_SIZE_MAX 1000 /* larger windows are taken as this many rows or columns */
#define SCREEN_LINE_MAX \
    16384 /* bytes of a line in its final form; a longer one is split into several */
#define SCREEN_PLAIN_MAX 4096 /* bytes of a line that may become final together with others */

/* Called from screen_feed, screen_resize and screen_finish; the text is valid during the call and
   not terminated by a NUL. Each may be NULL. */
struct screen_sink {
    void *context;
    /* A state of a line: plain text, valid UTF-8, no control bytes. redrawn: it is about to be
       rewritten or erased (a progress bar); otherwise its cursor went on to the next row, or it
       becomes final. Never twice for an unchanged text. Numbers do not always rise: a line further
       up may be redrawn. */
    void (*seen)(void *context, uint64_t line, const char *text, size_t length, bool redrawn);
    /* A line that can no longer change; numbers rise by one. UTF-8 whose only escape sequences are
       SGR; it starts in the default style and ends in it ("ESC [ m" at the end if it is coloured).
       No LF. The line has been seen before. */
    void (*final)(void *context, uint64_t line, const char *text, size_t length);
    /* Lines that became final together, `count` (at least 2) of them from `line` on: plain ASCII
       with an LF between each two, none longer than SCREEN_PLAIN_MAX. NULL: `final` is called for
       each of them. */
    void (*finals)(void *context, uint64_t line, size_t count, const char *text, size_t length);
};

struct screen;

/* A size of 0 is the default, a larger one than SCREEN_SIZE_MAX is that. The sink is copied. NULL
 * when out of memory. */
struct screen *screen_new(uint32_t rows, uint32_t cols, const struct screen_sink *sink);
void screen_free(struct screen *screen); /* NULL is allowed; nothing is reported */

void screen_feed(struct screen *screen, const void *bytes, size_t size);
/* Reports the line that the cursor stands on as it is now, as redrawn, without counting it as seen:
 * for a progress bar that nobody moves. It may be cut in the middle. */
void screen_look(struct screen *screen);
/* The window has another size from here on. Text is not wrapped anew. Without memory for it the old
 * size stays. */
void screen_resize(struct screen *screen, uint32_t rows, uint32_t cols);
/* No more bytes: every line becomes final. More may still be fed; it starts on a new line. */
void screen_finish(struct screen *screen);

uint64_t screen_final_count(const struct screen *screen);
/* All lines, the final ones included; blank rows at the end of the window do not count. */
uint64_t screen_line_count(const struct screen *screen);
/* A line that is not final, in the form of the final ones; valid until the next call on the screen.
 * NULL: no such line. */
const char *screen_live_line(struct screen *screen, uint64_t number, size_t *length);
/* The lowest line that changed or came since the last call of this (screen_line_count if none did);
   forgets it. Every line from there on may have changed. */
uint64_t screen_take_changed(struct screen *screen);

#endif
