/* Adjusts stored times when the server's clock jumps. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_CLOCK_H
#define NIXFLEET_DASHBOARD_STORE_SQL_CLOCK_H

#include "dashboard/store/store.h"

/* Both clocks at the last transaction; zero at the start. */
struct store_clock {
    int64_t wall_ms, monotonic_ms;
};

/* To be called at the beginning of each transaction. If the wall clock has jumped since the last
   transaction, times of living runs and hosts move with it, and no time stays in the future. The
   first transaction also handles what was stored before the start of the server. Returns 0 or
   -1. */
int store_clock_begin(struct store_clock *clock, struct txn *txn);

/* Moves the times of living runs and hosts by jump_ms, which the clock has jumped; no time stays in
   the future. Returns 0 or -1. */
int sql_clock_move(struct txn *txn, int64_t jump_ms);

#endif
