/* Clocks may be wrong: a host's by hours, or in 1970 until its network is up; the server's own
   clock may jump. This module decides what follows; everything else gets its times from here. Pure
   functions: the caller reads the clocks. Times are milliseconds since 1970. */
#ifndef NIXFLEET_DASHBOARD_FLEET_CLOCK_H
#define NIXFLEET_DASHBOARD_FLEET_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* What to add to a time of the writer's clock to get the server's. writer_ms: the writer's clock
   when it sent the request; 0: not sent. The result is 0 if it was not sent, or if the clocks
   differ by no more than a request may take. */
int64_t clock_offset(int64_t writer_ms, int64_t server_ms);
/* Converts a time of the writer's clock to the server's clock, and limits it to now_ms. 0 ("not
   known") if the writer's clock was never set. */
int64_t clock_server_time(int64_t writer_ms, int64_t offset_ms, int64_t now_ms);

/* Decides whether the server's clock is reliable enough for removing old data. */
struct clock_guard {
    int64_t wall_ms, monotonic_ms; /* both clocks at the last call */
    int64_t held_ms;               /* monotonic time when the distrust began; 0: none */
};

/* To be called at the start of the server. newest_ms: the newest time in the store; 0: it is empty.
 * jumped_ms: when the clock last jumped; 0: never. */
void clock_guard_start(struct clock_guard *guard, int64_t newest_ms, int64_t jumped_ms,
                       int64_t wall_ms, int64_t monotonic_ms);
/* To be called from time to time, and before anything is removed. False for a day after the clock
   jumped; if the clock has not changed again by then, it is taken as right. */
bool clock_guard_trusts(struct clock_guard *guard, int64_t wall_ms, int64_t monotonic_ms);

#endif
