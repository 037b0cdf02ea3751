/* If the server's clock jumps, stored times are adjusted. */
#include <stdio.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/fleet/state.h"
#include "dashboard/store/sql/clock.h"
#include "dashboard/store/sql/log.h"
#include "dashboard/store/sql/sql.h"

#define JUMP_MS 30000 /* a smaller step looks like a late heartbeat */

/* Living runs at the time ?2 minus STATE_LOST_MS. */
#define LIVING "ended IS NULL AND lost=0 AND deleted=0 AND last_seen>?2"

/* Moves the stored times of the lines and derivations of runs, before the times of the runs move.
 * keys: a bound statement, which returns the key of each run and by how many ms to move. */
static int move_lines(struct txn *txn, struct statement *keys)
{
    int step = 0, moved = 0;

    while (moved == 0 && (step = statement_step(keys)) > 0) {
        int64_t key = column_int64(keys, 0), ms = column_int64(keys, 1);

        moved = log_move_times(txn, key, ms);
        if (moved == 0)
            moved = txn_exec(txn,
                             "UPDATE derivations SET started=started+?2, ended=ended+?2 WHERE "
                             "run=?1",
                             "ii", key, ms);
    }
    return statement_end(keys, step) < 0 || moved < 0 ? -1 : 0;
}

/* Moves the times of living runs and hosts, so that a jump makes no run stale and no duration
 * wrong. */
static int shift_living(struct txn *txn, int64_t before_ms, int64_t jump_ms)
{
    struct statement *living = txn_statement(txn, "SELECT k, ?1 FROM runs WHERE " LIVING);

    if (!living)
        return -1;
    statement_bind(living, "ii", jump_ms, before_ms - STATE_LOST_MS);
    if (move_lines(txn, living) < 0)
        return -1;
    if (txn_exec(txn,
                 "UPDATE runs SET started=started+?1, created=created+?1, "
                 "last_seen=last_seen+?1, silent_since=silent_since+?1, doubt=CASE WHEN doubt>0 "
                 "THEN doubt+?1 ELSE 0 END, phase_at=phase_at+?1, stop_at=stop_at+?1, eta=eta+?1, "
                 "eta_low=eta_low+?1, eta_high=eta_high+?1, estimate_due=0 WHERE " LIVING,
                 "ii", jump_ms, before_ms - STATE_LOST_MS) < 0)
        return -1;
    return txn_exec(txn,
                    "UPDATE hosts SET last_seen=last_seen+?1, agent_seen=agent_seen+?1, "
                    "command_queued_at=command_queued_at+?1 WHERE last_seen>?2",
                    "ii", jump_ms, before_ms - STATE_OFFLINE_MS);
}

/* A run that was last heard of in the future: everything of it moves together, so that its
 * durations stay. */
static int move_future(struct txn *txn)
{
    struct statement *future = txn_statement(
        txn, "SELECT k, ?1-coalesce(ended,last_seen) FROM runs WHERE coalesce(ended,last_seen)>?1");

    if (!future)
        return -1;
    statement_bind(future, "i", txn->now_ms);
    if (move_lines(txn, future) < 0 ||
        txn_exec(txn, "UPDATE runs SET started=started-(ended-?1), ended=?1 WHERE ended>?1", "i",
                 txn->now_ms) < 0)
        return -1;
    return txn_exec(txn,
                    "UPDATE runs SET started=started-(last_seen-?1), silent_since=silent_since-"
                    "(last_seen-?1), phase_at=phase_at-(last_seen-?1), estimate_due=0, eta=NULL, "
                    "eta_low=NULL, eta_high=NULL, last_seen=?1 WHERE ended IS NULL AND "
                    "last_seen>?1",
                    "i", txn->now_ms);
}

#define REDUCE(table, column) "UPDATE " table " SET " column "=?1 WHERE " column ">?1"

/* A time in the future was stored while the clock was ahead, and is reduced to now. */
static int clamp_future(struct txn *txn)
{
    static const char *const clamps[] = {
        /* in one pass, because there are many runs */
        "UPDATE runs SET "
        "started=CASE WHEN started>?1 THEN ?1 ELSE started END, "
        "created=CASE WHEN created>?1 THEN ?1 ELSE created END, "
        "last_seen=CASE WHEN last_seen>?1 THEN ?1 ELSE last_seen END, "
        "silent_since=CASE WHEN silent_since>?1 THEN ?1 ELSE silent_since END, "
        "doubt=CASE WHEN doubt>?1 THEN ?1 ELSE doubt END, "
        "stop_at=CASE WHEN stop_at>?1 THEN ?1 ELSE stop_at END "
        "WHERE started>?1 OR created>?1 OR last_seen>?1 OR silent_since>?1 OR doubt>?1 OR "
        "stop_at>?1",
        REDUCE("hosts", "last_seen"),
        REDUCE("hosts", "agent_seen"),
        REDUCE("hosts", "last_switch"),
        REDUCE("hosts", "last_audit"),
        REDUCE("hosts", "last_fix"),
        REDUCE("hosts", "command_queued_at"),
        REDUCE("hosts", "metrics_updated_at"),
        REDUCE("hosts", "changes_at"),
        REDUCE("verdicts", "started"),
        REDUCE("verdicts", "ended"),
        REDUCE("verdicts", "success"),
        REDUCE("verdicts", "failure"),
        REDUCE("chunks", "at"),
        REDUCE("history", "at"),
        REDUCE("durations", "at"),
        REDUCE("command_log", "created"),
        REDUCE("command_log", "completed"),
        "UPDATE sessions SET expires=expires-(created-?1), created=?1 WHERE created>?1",
    };

    if (move_future(txn) < 0)
        return -1;
    for (size_t i = 0; i < sizeof clamps / sizeof *clamps; i++)
        if (txn_exec(txn, clamps[i], "i", txn->now_ms) < 0)
            return -1;
    return 0;
}

int sql_clock_move(struct txn *txn, int64_t jump_ms)
{
    if (shift_living(txn, txn->now_ms - jump_ms, jump_ms) < 0 ||
        txn_exec(txn,
                 "INSERT INTO kv(name, value) VALUES('jumped',?1) ON CONFLICT(name) DO UPDATE "
                 "SET value=?1",
                 "i", txn->now_ms) < 0)
        return -1;
    return jump_ms <= 0 ? clamp_future(txn) : 0;
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
        return sql_clock_move(txn, jump);
    }
    return clamp_future(txn);
}
