/* Turns terminal bytes into lines, as a person saw them.

   A struct screen is the text part of a terminal: bytes move a cursor over a window of rows, and a
   row that scrolls off the top of the window is final. Rows that autowrap has broken are joined to
   one line, which is final when its last row has left the window. Lines are numbered from 0 in the
   order of the screen. Text that programs rewrite (progress bars, trees) is rewritten in its place
   and never appears twice. Where terminals differ, the screen behaves like tmux; screen.c lists the
   intended differences.

   Pure: no I/O, no locale, no globals. The result depends only on the bytes and the window sizes,
   not on how the bytes are divided into calls. Only the order of calls to the sink may differ:
   final lines may be reported before or after the `seen` of other lines, and together or one by
   one. Memory is bounded by the window: about 16 bytes for each cell, and at most 1 MiB for the
   targets of hyperlinks. LF always returns to column
   0. */
#ifndef NIXFLEET_SCREEN_H
#define NIXFLEET_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_ROWS 24 /* the window if none is given */
#define SCREEN_COLS 80
#define SCREEN_SIZE_MAX 1000 /* a larger window is treated as this many rows or columns */
/* bytes of a line in its final form; a longer line is split into several */
#define SCREEN_LINE_MAX 16384
#define SCREEN_PLAIN_MAX 4096 /* bytes of a line that may become final together with others */
#define SCREEN_LINKS_MAX 8192 /* bytes that the hyperlinks of a line may take, beside its text */

/* Called from screen_feed, screen_resize and screen_finish. The text is valid during the call and
   has no NUL at its end. Each function may be NULL. */
struct screen_sink {
    void *context;
    /* A state of a line: plain text, valid UTF-8, no control bytes. redrawn: the line is about to
       be rewritten or erased (a progress bar); otherwise the cursor moved on to the next row, or
       the line becomes final. Not called twice for an unchanged text. The numbers do not always
       rise, because a line further up may be redrawn. */
    void (*seen)(void *context, uint64_t line, const char *text, size_t length, bool redrawn);
    /* A line that can no longer change; the numbers rise by one. UTF-8, with SGR (and hyperlinks,
       see `links`) as the only escape sequences; it starts and ends in the default style
       ("ESC [ m" at the end if it has colours). No LF. `seen` was called for the line before. */
    void (*final)(void *context, uint64_t line, const char *text, size_t length);
    /* `count` (at least 2) lines that became final together, from number `line` on: plain ASCII
       with an LF between lines, each at most SCREEN_PLAIN_MAX bytes. NULL: `final` is called for
       each line. */
    void (*finals)(void *context, uint64_t line, size_t count, const char *text, size_t length);
    /* Whether lines in their final form have hyperlinks, too, as in common/hyperlink.h. Links that
       do not fit are left out, their text is not. */
    bool links;
};

struct screen;

/* A size of 0 means the default; a size above SCREEN_SIZE_MAX means SCREEN_SIZE_MAX. Copies the
 * sink. NULL when out of memory. */
struct screen *screen_new(uint32_t rows, uint32_t cols, const struct screen_sink *sink);
void screen_free(struct screen *screen); /* NULL is allowed; reports nothing */

/* Takes bytes, divided in any way. When out of memory, text is lost, but nothing fails. */
void screen_feed(struct screen *screen, const void *bytes, size_t size);
/* Reports the present state of the cursor's line as redrawn, without counting it as seen: for a
 * progress bar that does not move. The line may be incomplete. */
void screen_look(struct screen *screen);
/* Changes the size of the window from here on. Text is not wrapped anew. When out of memory, the
 * old size remains. */
void screen_resize(struct screen *screen, uint32_t rows, uint32_t cols);
/* The end of the bytes: every line becomes final. More bytes may still be fed; they start on a new
 * line. */
void screen_finish(struct screen *screen);

/* The number of final lines. */
uint64_t screen_final_count(const struct screen *screen);
/* The number of all lines, with the final ones. Blank rows at the end of the window do not
 * count. */
uint64_t screen_line_count(const struct screen *screen);
/* A line that is not final, in the form of final lines; valid until the next call on the screen.
 * NULL: no such line. */
const char *screen_live_line(struct screen *screen, uint64_t number, size_t *length);
/* The lowest line that changed or was added since the last call of this function (screen_line_count
   if none); every line from there on may have changed. */
uint64_t screen_take_changed(struct screen *screen);

#endif
