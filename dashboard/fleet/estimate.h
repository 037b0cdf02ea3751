/* How long a run will still take, from how long the last runs of its name took on its host. Pure:
   no clock, no store. The times that go in must be of one clock; a time that lies after "now"
   counts as now, so no duration is negative.

   Where the derivations that are left are known, they are counted: each takes the median of its
   last durations, several are built at once, and none ends before the slowest that is left.
   Otherwise the phases are counted: each past run says how long such a run takes from here on. A
   phase or a derivation that has already taken longer than some of the past ones is compared with
   the others only.

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
 * succeeded. The least of them is about what the builds take that need this one. */
#define DURATION_AFTER "after"
#define DURATION_BUILDS "builds" /* what: one of these two */
#define BUILDS_EACH "each"       /* time in the phases of building, by derivations */
#define BUILDS_AT_ONCE "at once" /* no duration: the most that were built at one time */

/* The longest duration that is kept, and the longest estimate. */
#define ESTIMATE_MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

#define DERIVATION_KEY_SIZE 256
/* A derivation's name without its version: "linux-6.6.32-modules" becomes "linux-modules". */
void derivation_key(const char *name, char out[DERIVATION_KEY_SIZE]);

struct estimate;
/* NULL when out of memory. now_ms: the clock of the derivations' times. */
struct estimate *estimate_new(int64_t now_ms);
void estimate_free(struct estimate *estimate);
/* One thing that past runs took time for. context: the struct estimate; a visitor of the store. */
void estimate_history(void *context, const struct duration_row *row);
/* A derivation of this run. Likewise. */
void estimate_derivation(void *context, const struct derivation_row *row);

/* The most derivations of this run that were built at one time; 0: none was built, or out of
 * memory. */
int64_t estimate_at_once(const struct estimate *estimate);
/* Whether anything can be estimated, after the history: without it, estimate_derivation need not be
 * called. */
bool estimate_knows(const struct estimate *estimate);

/* Where the run is. */
struct estimate_run {
    int phase;                /* index, see fleet/phases.h */
    struct phase_times times; /* including the time in this phase up to now */
    int64_t built, to_build;  /* as its progress says; -1: not known */
};

enum estimate_answer {
    ESTIMATE_NONE,    /* nothing like this is known */
    ESTIMATE_LEFT,    /* *left is set */
    ESTIMATE_OVERDUE, /* it takes longer than any known run: nobody knows how long */
};
/* Milliseconds: the most likely, and what most runs are between. */
struct estimate_left {
    int64_t ms, low_ms, high_ms;
};
enum estimate_answer estimate_remaining(struct estimate *estimate, const struct estimate_run *run,
                                        struct estimate_left *left);

#endif
