/* Estimates the remaining time of a run from the durations of the last runs with its name on its
   host. This module reads no clock and no store. The caller passes times of one clock; a time after
   "now" counts as now, so no duration is negative.

   If the remaining derivations are known, the estimate adds them up: each derivation takes the
   median of its last durations, several are built at once, and the builds do not end before the
   slowest of them. Otherwise the estimate uses the phases: the past runs show how long a run takes
   from this phase to its end. If a phase or a derivation has already taken longer than in some past
   runs, these runs are left out.

   Order of the calls: estimate_new, estimate_history for each row, estimate_derivation for each
   derivation of the run, estimate_remaining, estimate_free. */
#ifndef NIXFLEET_DASHBOARD_FLEET_ESTIMATE_H
#define NIXFLEET_DASHBOARD_FLEET_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/fleet/phases.h"
#include "dashboard/store/rows.h"

/* The kinds of durations. */
#define DURATION_PHASE "phase"           /* what: the phase. Of a run that succeeded; may be 0 */
#define DURATION_DERIVATION "derivation" /* what: derivation_key */
/* From the end of a derivation to the end of all builds; what: derivation_key. Of a run that
 * succeeded. The smallest of these durations is about the time of the builds that depend on the
 * derivation. */
#define DURATION_AFTER "after"
#define DURATION_BUILDS "builds" /* what: one of these two */
#define BUILDS_EACH "each"       /* time in the phases of building, by derivations */
#define BUILDS_AT_ONCE "at once" /* no duration: how many were built at one time, at most */

/* The longest duration that is kept, and the longest estimate. */
#define ESTIMATE_MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

#define DERIVATION_KEY_SIZE 256
/* A derivation's name without its version: "linux-6.6.32-modules" becomes "linux-modules". */
void derivation_key(const char *name, char out[DERIVATION_KEY_SIZE]);

struct estimate;
/* NULL when out of memory. now_ms: the clock of the derivations' times. */
struct estimate *estimate_new(int64_t now_ms);
void estimate_free(struct estimate *estimate);
/* A visitor of the store: takes one duration of past runs. context: the struct estimate. */
void estimate_history(void *context, const struct duration_row *row);
/* A visitor of the store: takes a derivation of this run. context: the struct estimate. */
void estimate_derivation(void *context, const struct derivation_row *row);

/* The most derivations of this run that were built at one time; 0: none was built, or out of
 * memory. */
int64_t estimate_at_once(const struct estimate *estimate);
/* Called after the history: whether an estimate is possible. If not, the caller need not call
 * estimate_derivation. */
bool estimate_knows(const struct estimate *estimate);

/* Where the run is. */
struct estimate_run {
    int phase;                /* index, see fleet/phases.h */
    struct phase_times times; /* including the time in this phase up to now */
    int64_t built, to_build;  /* from the progress of the run; -1: not known */
};

enum estimate_answer {
    ESTIMATE_NONE,    /* there is no similar run in the history */
    ESTIMATE_LEFT,    /* *left is set */
    ESTIMATE_OVERDUE, /* the run takes longer than all past runs: the remaining time is not known */
};
/* Milliseconds: the most likely value, and the range of most runs. */
struct estimate_left {
    int64_t ms, low_ms, high_ms;
};
enum estimate_answer estimate_remaining(struct estimate *estimate, const struct estimate_run *run,
                                        struct estimate_left *left);

#endif
