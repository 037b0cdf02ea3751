/* Clocks are wrong: a host's by hours, or in 1970 until its network is up; the server's own may
   jump. This module decides what follows from that; everything else takes its times from here. Pure
   functions: the caller reads the clocks. Times are in ms since 1970. */
#ifndef NIXFLEET_DASHBOARD_FLEET_CLOCK_H
#define NIXFLEET_DASHBOARD_FLEET_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* What to add to a time of a writer's clock to get the server's. writer_ms: the writer's clock when
   it sent its request; 0: it did not say, and the offset is 0, as it is when the clocks differ by
   no more than a request may take. */
int64_t clock_offset(int64_t writer_ms, int64_t server_ms);
/* A time of the writer's clock on the server's clock, and never later than now_ms. 0, "not said",
   for a time that a clock shows that was never set. */
int64_t clock_server_time(int64_t writer_ms, int64_t offset_ms, int64_t now_ms);

/* Whether the server's clock can be trusted with throwing old things away. */
struct clock_guard {
    int64_t wall_ms, monotonic_ms; /* as they were at the last look */
    int64_t held_ms;               /* monotonic: when the distrust began; 0: none */
};

/* At the start of the server. newest_ms: the newest time in the store; 0: it is empty. jumped_ms:
 * when the clock last jumped; 0: never. */
void clock_guard_start(struct clock_guard *guard, int64_t newest_ms, int64_t jumped_ms,
                       int64_t wall_ms, int64_t monotonic_ms);
/* Now and then, and before anything is thrown away. False for a day after the clock jumped: a clock
   that is still the same then is taken for right. */
bool clock_guard_trusts(struct clock_guard *guard, int64_t wall_ms, int64_t monotonic_ms);

#endif
