/* Turns the bytes of a run into lines, phase and progress: first nixlog (records of internal-json
   become text), then screen (what a person saw), then phase. A pure function of bytes, window sizes
   and label: the same input gives the same lines, however it is divided, so that lines can be made
   again from the log at any time. Bounded in memory. */
#ifndef NIXFLEET_TRANSCRIPT_H
#define NIXFLEET_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phase.h"

#define TRANSCRIPT_LINE_MAX 16384 /* bytes; a longer line is split into several */
#define TRANSCRIPT_LINKS_MAX \
    8192 /* bytes that the hyperlinks of a line may take, beside its text */
#define TRANSCRIPT_PLAIN_MAX 4096 /* bytes of a line that may come together with others */

/* Receives the lines. Each function may be NULL. */
struct transcript_sink {
    void *context;
    /* Each line once it is final: UTF-8 with SGR sequences only, which end in the same line; no LF.
       number: its index, from 0. */
    void (*final)(void *context, uint64_t number, const char *text, size_t length);
    /* Several lines of plain ASCII that became final together, from `number` on: with an LF between
       lines, each at most TRANSCRIPT_PLAIN_MAX bytes. NULL: they go to `final` one by one. */
    void (*finals)(void *context, uint64_t number, size_t count, const char *text, size_t length);
    bool links; /* lines may have hyperlinks, too: see screen.h */
};

struct transcript;
/* Sizes as in screen_new, label as in phase_new. Copies the sink; NULL: the lines are not needed.
 * NULL when out of memory. */
struct transcript *transcript_new(uint32_t rows, uint32_t cols, const char *label,
                                  const struct transcript_sink *sink);
void transcript_free(struct transcript *transcript);
/* Takes bytes of the output, divided in any way. */
void transcript_feed(struct transcript *transcript, const void *bytes, size_t size);
/* Takes bytes of nix's internal log (the file of its setting json-log-path). They say more about
   builds than the terminal shows, and make no lines. */
void transcript_record(struct transcript *transcript, const void *bytes, size_t size);
/* The time when the next bytes came, in milliseconds since the epoch. */
void transcript_time(struct transcript *transcript, int64_t now_ms);
/* The window has this size from here on. */
void transcript_resize(struct transcript *transcript, uint32_t rows, uint32_t cols);
/* The end of the bytes: every line becomes final. by_signal and code as in phase_end; or use
 * transcript_end_unknown. */
void transcript_end(struct transcript *transcript, int by_signal, int code);
void transcript_end_unknown(struct transcript *transcript);

/* The number of final lines, and of all lines (those that are not final can still change; blank
 * rows at the end of the screen do not count). */
uint64_t transcript_final_count(const struct transcript *transcript);
uint64_t transcript_line_count(const struct transcript *transcript);
/* The text of a line that is not final yet, in the form of final lines; valid until the next call.
 * NULL: no such line. */
const char *transcript_live_line(struct transcript *transcript, uint64_t number, size_t *length);
/* The lowest line that changed or was added since the last call of this function (line_count if
 * none). */
uint64_t transcript_take_changed(struct transcript *transcript);
/* The view for what is on the screen now. */
const struct phase_view *transcript_phase(struct transcript *transcript);
/* See phase_derivation_count and phase_derivation. */
size_t transcript_derivation_count(const struct transcript *transcript);
/* The index of the derivation with this store path; SIZE_MAX: none. */
size_t transcript_derivation_at(const struct transcript *transcript, const char *path);
const struct derivation *transcript_derivation(const struct transcript *transcript, size_t index);

#endif
