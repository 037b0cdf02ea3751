/* The expected end of a run. The store's writer thread calls this module for each report of a run.
   It adds up the time in each phase, estimates the end (fleet/estimate.h), stores the end with the
   run, and stores the durations of a run that has ended. The end is stored as a time of the clock,
   so most reports need no new estimate and cost one comparison.

   All times are of the server's clock. */
#ifndef NIXFLEET_DASHBOARD_FLEET_TIMING_H
#define NIXFLEET_DASHBOARD_FLEET_TIMING_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/store.h"

/* The parts of a report that can change the estimate. */
struct timing_report {
    int64_t at_ms;      /* the time of the newest line, or now */
    const char *phase;  /* of the run, with this report; "": none is known */
    bool phase_changed; /* by this report */
    bool derivations;   /* the report has new or changed derivations, which are stored already */
    int64_t built, to_build; /* -1: not in the report */
    bool ended;              /* the report has the end of the run, and is the last one */
    bool stopped;            /* the run is over, but more reports may come */
    bool success;            /* with ended: the run did all of its work */
    int64_t ended_ms;        /* with ended or stopped */
};

/* run: the run as it was before the report. 0, or -1 when the store failed. */
int timing_report(struct txn *txn, const struct run_row *run, const struct timing_report *report);

#endif
