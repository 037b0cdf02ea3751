/* Stored times when the server's clock jumps. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_CLOCK_H
#define NIXFLEET_DASHBOARD_STORE_SQL_CLOCK_H

#include "dashboard/store/store.h"

/* The clocks as they were at the last transaction; zero at the start. */
struct store_clock {
    int64_t wall_ms, monotonic_ms;
};

/* At the beginning of each transaction: where the wall clock has jumped since the last transaction,
   what lives moves with it, and nothing stays in the future. Also at the first transaction, for
   what was stored before the server's start. 0 or -1. */
int store_clock_begin(struct store_clock *clock, struct txn *txn);

#endif
