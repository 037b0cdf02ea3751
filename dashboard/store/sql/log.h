/* What other parts of the store do with the lines of a run. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_LOG_H
#define NIXFLEET_DASHBOARD_STORE_SQL_LOG_H

#include "dashboard/store/store.h"

/* Adds ms to the times of all lines of the run with this key. Returns 0 or -1. */
int log_move_times(struct txn *txn, int64_t key, int64_t ms);

#endif
