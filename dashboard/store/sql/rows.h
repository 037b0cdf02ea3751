/* Reads the columns of a run, also when joined to a host. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_ROWS_H
#define NIXFLEET_DASHBOARD_STORE_SQL_ROWS_H

#include "dashboard/store/sql/sql.h"

/* Columns of a run with the name r in the statement. */
#define FACT_COLUMNS \
    "r.started, r.last_seen, r.ended, r.\"interval\", r.lost, r.heartbeats, r.doubt"
#define FACT_COLUMN_COUNT 7
#define RUN_COLUMNS                                                                      \
    FACT_COLUMNS                                                                         \
    ", r.id, r.host, r.command, r.argv, r.name, r.\"user\", r.phase, r.last_phase, "     \
    "r.progress, r.outcome, r.exit, r.error, r.failed, r.failed_units, r.error_line, "   \
    "r.lines, r.bytes, r.silent_since, r.stop, r.stop_at, r.stop_by, r.eta, r.eta_low, " \
    "r.eta_high"

/* Reads FACT_COLUMNS from this column on. exists is false if an outer join found no run. */
void read_facts(struct statement *row, int column, struct run_facts *facts);
/* Reads RUN_COLUMNS from this column on. The texts are valid until the next step. */
void read_run(struct statement *row, int column, struct run_details *run);

#endif
