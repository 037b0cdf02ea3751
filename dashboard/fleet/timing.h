/* When a run is expected to end. Reports of a run come here on the store's writer thread: the time
   in each phase is noted, the end is estimated (fleet/estimate.h) and stored with the run, and what
   a run took is stored when it has ended. Most reports change nothing of this and cost one
   comparison: the end is stored as a time of the clock, so time passes without an estimate.

   All times are of the server's clock. */
#ifndef NIXFLEET_DASHBOARD_FLEET_TIMING_H
#define NIXFLEET_DASHBOARD_FLEET_TIMING_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/store.h"

/* What a report of a run says that changes the estimate. */
struct timing_report {
    int64_t at_ms;           /* when it was so: the time of the newest line, or now */
    const char *phase;       /* of the run, with this report; "": none is known */
    bool phase_changed;      /* by this report */
    bool derivations;        /* it has new or changed ones: they are stored already */
    int64_t built, to_build; /* -1: not said */
    bool ended;              /* it says how the run ended, and nothing comes after it */
    bool stopped;            /* the run is over, but more of it may come */
    bool success;            /* with ended: the run did all that such a run does */
    int64_t ended_ms;        /* with ended or stopped */
};

/* run: the run as it was before the report. 0, or -1 when the store failed. */
int timing_report(struct txn *txn, const struct run_row *run, const struct timing_report *report);

#endif
