/* A run's bytes to its lines, phase and progress: nixlog (internal-json records become their text),
   then screen (what a person saw), then phase. A pure function of bytes, window sizes and label:
   the same input gives the same lines, however it was cut, so that lines can be made again from the
   log at any time. Bounded in memory. */
#ifndef NIXFLEET_TRANSCRIPT_H
#define NIXFLEET_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "phase.h"

#define TRANSCRIPT_LINE_MAX 16384 /* bytes; a longer line is split into several */
#define TRANSCRIPT_PLAIN_MAX 4096 /* bytes of a line that may come together with others */

/* Who takes the lines. Each function may be NULL. */
struct transcript_sink {
    void *context;
    /* Each line once it is final: UTF-8, SGR sequences only, complete in itself, no LF; number: its
       index from 0 on. */
    void (*final)(void *context, uint64_t number, const char *text, size_t length);
    /* Several of plain ASCII, from `number` on, that became final together: an LF between each
       two, none longer than TRANSCRIPT_PLAIN_MAX. NULL: they go to `final`, one by one. */
    void (*finals)(void *context, uint64_t number, size_t count, const char *text, size_t length);
};

struct transcript;
/* Sizes as in screen_new, label as in phase_new. The sink is copied; NULL: the lines are not
 * wanted. NULL when out of memory. */
struct transcript *transcript_new(uint32_t rows, uint32_t cols, const char *label,
                                  const struct transcript_sink *sink);
void transcript_free(struct transcript *transcript);
void transcript_feed(struct transcript *transcript, const void *bytes, size_t size);
/* Bytes of the file that nix's setting json-log-path names: they say more of the builds than the
   terminal shows, and make no lines. */
void transcript_record(struct transcript *transcript, const void *bytes, size_t size);
/* When the bytes came that are fed next: ms since the epoch. */
void transcript_time(struct transcript *transcript, int64_t now_ms);
void transcript_resize(struct transcript *transcript, uint32_t rows, uint32_t cols);
/* No more bytes: every line becomes final. Then by_signal/code as in phase_end, or
 * transcript_end_unknown. */
void transcript_end(struct transcript *transcript, int by_signal, int code);
void transcript_end_unknown(struct transcript *transcript);

/* Lines that are final, and all lines (the rest can still change; trailing blank rows of the screen
 * do not count). */
uint64_t transcript_final_count(const struct transcript *transcript);
uint64_t transcript_line_count(const struct transcript *transcript);
/* The text of a line that is not final yet, in the same form; valid until the next call. NULL: no
 * such line. */
const char *transcript_live_line(struct transcript *transcript, uint64_t number, size_t *length);
/* The lowest line that changed or came since the last call of this (line_count if none did);
 * forgets it. */
uint64_t transcript_take_changed(struct transcript *transcript);
/* As of what is on the screen now. */
const struct phase_view *transcript_phase(struct transcript *transcript);
/* As phase_derivation. */
size_t transcript_derivation_count(const struct transcript *transcript);
const struct derivation *transcript_derivation(const struct transcript *transcript, size_t index);

#endif
