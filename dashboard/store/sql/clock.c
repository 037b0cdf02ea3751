/* If the server's clock jumps, stored times are adjusted. */
#include <stdio.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/fleet/state.h"
#include "dashboard/store/sql/clock.h"
#include "dashboard/store/sql/sql.h"

#define JUMP_MS 30000 /* a smaller step looks like a late heartbeat */

/* A column, but not later than the first parameter; NULL stays. */
#define EARLIER(column) "CASE WHEN " column ">?1 THEN ?1 ELSE " column " END"

/* Moves the times of living runs and hosts, so that a jump makes no run stale and no duration
 * wrong. */
static int shift_living(struct txn *txn, int64_t before_ms, int64_t jump_ms)
{
    return txn_exec(txn,
                    "UPDATE runs SET started=started+?1, created=created+?1, "
                    "last_seen=last_seen+?1, silent_since=silent_since+?1, doubt=CASE WHEN doubt>0 "
                    "THEN doubt+?1 ELSE 0 END, phase_at=phase_at+?1, eta=eta+?1, "
                    "eta_low=eta_low+?1, eta_high=eta_high+?1, estimate_due=0 WHERE ended IS NULL "
                    "AND lost=0 AND deleted=0 AND "
                    "last_seen>?2",
                    "ii", jump_ms, before_ms - STATE_LOST_MS) < 0 ||
                   txn_exec(txn,
                            "UPDATE hosts SET last_seen=last_seen+?1, agent_seen=agent_seen+?1, "
                            "command_queued_at=command_queued_at+?1 WHERE last_seen>?2",
                            "ii", jump_ms, before_ms - STATE_OFFLINE_MS) < 0
               ? -1
               : 0;
}

/* A time in the future was stored while the clock was ahead, and is reduced to now. A run keeps its
 * duration. */
static int clamp_future(struct txn *txn)
{
    static const char *const clamps[] = {
        "UPDATE runs SET started=started-(ended-?1), ended=?1 WHERE ended>?1",
        "UPDATE runs SET started=" EARLIER("started") ", created=" EARLIER(
            "created") ", "
                       "last_seen=" EARLIER("last_seen") ", silent_since=" EARLIER(
                           "silent_since") ", doubt=" EARLIER("doubt") " WHERE "
                                                                       "started>?1 OR created>?1 "
                                                                       "OR last_seen>?1 OR "
                                                                       "silent_since>?1 OR "
                                                                       "doubt>?1",
        "UPDATE hosts SET last_seen=" EARLIER("last_seen") ", agent_seen=" EARLIER(
            "agent_seen") ", "
                          "last_switch=" EARLIER("last_switch") ", last_audit=" EARLIER(
                              "last_audit") ", "
                                            "last_fix=" EARLIER(
                                                "last_fix") ", "
                                                            "command_queued_"
                                                            "at=" EARLIER(
                                                                "command_"
                                                                "queued_"
                                                                "at") ", "
                                                                      "me"
                                                                      "tr"
                                                                      "ic"
                                                                      "s_"
                                                                      "up"
                                                                      "da"
                                                                      "te"
                                                                      "d_"
                                                                      "at"
                                                                      "=" EARLIER("metrics_updated_"
                                                                                  "at") ", "
                                                                                        "changes_"
                                                                                        "at=?1",
        "UPDATE verdicts SET started=" EARLIER("started") ", ended=" EARLIER(
            "ended") " WHERE started>?1 OR "
                     "ended>?1",
        "UPDATE chunks SET at=?1 WHERE at>?1",
        "UPDATE history SET at=?1 WHERE at>?1",
        "UPDATE durations SET at=?1 WHERE at>?1",
        "UPDATE command_log SET created=" EARLIER("created") ", completed=" EARLIER(
            "completed") " WHERE "
                         "created>?1 OR completed>?1",
        "UPDATE sessions SET expires=expires-(created-?1), created=?1 WHERE created>?1",
    };

    for (size_t i = 0; i < sizeof clamps / sizeof *clamps; i++)
        if (txn_exec(txn, clamps[i], "i", txn->now_ms) < 0)
            return -1;
    return 0;
}

int store_clock_begin(struct store_clock *clock, struct txn *txn)
{
    int64_t monotonic = monotonic_ms(), expected = clock->wall_ms + monotonic - clock->monotonic_ms,
            jump = clock->wall_ms ? txn->now_ms - expected : 0;
    bool first = clock->wall_ms == 0, jumped = jump > JUMP_MS || jump < -JUMP_MS;

    clock->wall_ms = txn->now_ms;
    clock->monotonic_ms = monotonic;
    if (!first && !jumped)
        return 0;
    if (jumped) {
        log_line(LOG_WARNING, "the clock of this machine jumped by %lld s",
                 (long long)(jump / 1000));
        if (shift_living(txn, expected, jump) < 0 ||
            txn_exec(txn,
                     "INSERT INTO kv(name, value) VALUES('jumped',?1) ON CONFLICT(name) DO UPDATE "
                     "SET value=?1",
                     "i", txn->now_ms) < 0)
            return -1;
    }
    return jump <= 0 ? clamp_future(txn) : 0;
}
