#include "dashboard/fleet/clock.h"

#define TOLERANCE_MS 5000 /* a difference up to this may come from a slow request */
/* 2020: a clock that shows an earlier time was never set */
#define FIRST_MS INT64_C(1577836800000)
#define JUMP_MS (5 * 60 * 1000) /* more than NTP corrects in small steps */
/* the longest time that a server is normally off */
#define AWAY_MS (INT64_C(30) * 24 * 3600 * 1000)
#define HOLD_MS (INT64_C(24) * 3600 * 1000)

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

int64_t clock_offset(int64_t writer_ms, int64_t server_ms)
{
    return writer_ms <= 0 || distance(writer_ms, server_ms) <= TOLERANCE_MS ? 0
                                                                            : server_ms - writer_ms;
}

int64_t clock_server_time(int64_t writer_ms, int64_t offset_ms, int64_t now_ms)
{
    int64_t ms = writer_ms + offset_ms;

    if (writer_ms == 0 || ms < FIRST_MS)
        return 0;
    return ms < now_ms ? ms : now_ms;
}

static void hold(struct clock_guard *guard, int64_t monotonic_ms)
{
    guard->held_ms = monotonic_ms > 0 ? monotonic_ms : 1;
}

void clock_guard_start(struct clock_guard *guard, int64_t newest_ms, int64_t jumped_ms,
                       int64_t wall_ms, int64_t monotonic_ms)
{
    *guard = (struct clock_guard){.wall_ms = wall_ms, .monotonic_ms = monotonic_ms};
    if (newest_ms && (wall_ms < newest_ms - JUMP_MS || wall_ms > newest_ms + AWAY_MS))
        hold(guard, monotonic_ms);
    if (jumped_ms && distance(wall_ms, jumped_ms) < HOLD_MS)
        hold(guard, monotonic_ms);
}

bool clock_guard_trusts(struct clock_guard *guard, int64_t wall_ms, int64_t monotonic_ms)
{
    int64_t expected_ms = guard->wall_ms + (monotonic_ms - guard->monotonic_ms);

    if (distance(wall_ms, expected_ms) > JUMP_MS)
        hold(guard, monotonic_ms);
    guard->wall_ms = wall_ms;
    guard->monotonic_ms = monotonic_ms;
    if (guard->held_ms && monotonic_ms - guard->held_ms >= HOLD_MS)
        guard->held_ms = 0;
    return guard->held_ms == 0;
}
