/* Lines to meaning: which phase a run is in, how far it has come, what failed. Pure: text in,
   values out. Formats: docs/formats.md. One struct phase per run; feed it every line once, in
   order, and each state of a line that is redrawn. */
#ifndef NIXFLEET_PHASE_H
#define NIXFLEET_PHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum phase_id {
    PHASE_NONE,
    PHASE_EVALUATING,
    PHASE_FETCHING,
    PHASE_BUILDING,
    PHASE_ACTIVATING,
    PHASE_SWITCHING,
    PHASE_PULLING,
    PHASE_UPDATING,
    PHASE_TESTING,
    PHASE_DONE,
    PHASE_FAILED
};
enum phase_outcome { OUTCOME_UNKNOWN, OUTCOME_SUCCESS, OUTCOME_FAILURE, OUTCOME_UNITS_FAILED };

#define PHASE_NAMES_MAX \
    64 /* failed derivations, failed units, errors: the first that many are kept */
#define PHASE_HISTORY_MAX 64
#define PHASE_TEXT_SIZE 512

struct progress { /* -1: not known */
    int64_t built, building, to_build, failed, fetched, to_fetch;
    int64_t fetched_bytes, to_fetch_bytes, tests_passed, tests_total;
    char current[128];
};

struct phase_names {
    char *name[PHASE_NAMES_MAX]; /* owned by the struct phase */
    size_t count;
};

struct phase_view { /* what is known now; pointers live until the next call on the struct phase */
    enum phase_id phase;
    struct progress
        progress; /* never jumps back for a viewer: built <= to_build, percentages do not fall */
    enum phase_id history[PHASE_HISTORY_MAX]; /* in order, no repeats in a row */
    size_t history_count;
    struct phase_names errors, failed, failed_units;
    char error[PHASE_TEXT_SIZE]; /* the error that matters, "" if none */
    int64_t error_line;          /* its line number as given to phase_line, -1 if none */
    enum phase_outcome outcome;
};

struct phase;
/* label: what the run is called (switch, pull, update, test…), or NULL; a hint only. NULL when out
 * of memory. */
struct phase *phase_new(const char *label);
void phase_free(struct phase *phase);
/* One line: UTF-8 without escape sequences, no LF. line: its index in the run. redrawn: this is a
   state of a line that is about to be overwritten (a progress bar); the same line may come
   again. */
void phase_line(struct phase *phase, const char *text, size_t length, int64_t line, bool redrawn);
/* Counts that a tool reports apart from its text (internal-json), of the call that runs: a smaller
   done than before is the next call's. */
void phase_builds(struct phase *phase, int64_t running, int64_t done, int64_t expected,
                  int64_t failed);
void phase_paths(struct phase *phase, int64_t running, int64_t done, int64_t expected);
void phase_download(struct phase *phase, int64_t done, int64_t expected);
/* The run has ended (code: exit status, or signal number). Sets done or failed and the outcome. */
void phase_end(struct phase *phase, bool by_signal, int code);
/* The same as far as the text alone tells (for --analyze). */
void phase_end_unknown(struct phase *phase);
const struct phase_view *phase_view(struct phase *phase);
const char *phase_name(enum phase_id id); /* "" for PHASE_NONE */

#endif
