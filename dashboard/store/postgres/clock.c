/* All servers of a store go by the clock of PostgreSQL, so that they agree about what is stale. If
   this clock jumps, or a standby with another clock takes over, the stored times of living runs and
   hosts move with it. */
#include "common/io.h"
#include "common/log.h"
#include "dashboard/store/postgres/postgres.h"
#include "dashboard/store/sql/clock.h"

#define NEAR_MS 20     /* two measurements of the same clock may differ by this much */
#define JUMP_MS 30000  /* a smaller step looks like a late heartbeat */
#define SAME_MS 120000 /* all servers notice one jump within this time */

void pg_clock_start(struct pg_clock *clock)
{
    atomic_init(&clock->apart_ms, wall_ms() - monotonic_ms());
}

int64_t pg_now_ms(struct store *store)
{
    return monotonic_ms() + atomic_load(&store->clock.apart_ms);
}

static bool is_within(int64_t ms, int64_t limit_ms)
{
    return ms <= limit_ms && ms >= -limit_ms;
}

static void set(struct pg_clock *clock, int64_t apart_ms, int64_t doubt_ms)
{
    int64_t moved_ms = apart_ms - atomic_load(&clock->apart_ms);

    if (is_within(moved_ms, NEAR_MS + doubt_ms))
        return;
    atomic_store(&clock->apart_ms, apart_ms);
    if (clock->known && !is_within(moved_ms, JUMP_MS)) {
        log_line(LOG_WARNING, "the clock of PostgreSQL has jumped by %lld s",
                 (long long)(moved_ms / 1000));
        clock->jumped_ms += moved_ms;
    }
}

void pg_clock_read(struct store *store, struct connection *connection)
{
    struct pg_statement *ask = connection_statement(
        connection, "SELECT CAST(extract(epoch FROM clock_timestamp())*1000 AS bigint)", false);
    int64_t before_ms = monotonic_ms(), after_ms;

    if (!ask)
        return;
    if (pg_step(&ask->head) > 0) {
        after_ms = monotonic_ms();
        set(&store->clock, pg_column_int64(&ask->head, 0) - (before_ms + after_ms) / 2,
            after_ms - before_ms);
        store->clock.known = true;
    }
    pg_clear(ask);
}

/* Whether another server has moved the times already. -1: the store failed. */
static int is_moved(struct txn *txn)
{
    struct statement *find =
        txn_statement(txn, "SELECT 1 FROM kv WHERE name='jumped' AND abs(value-?1)<?2");

    if (find)
        statement_bind(find, "ii", txn->now_ms, (int64_t)SAME_MS);
    return find ? statement_close(find, statement_first(find)) : -1;
}

static int tell_hosts(struct txn *txn)
{
    struct statement *find = txn_statement_many(txn, "SELECT id FROM hosts");
    int step = 0;

    if (!find)
        return -1;
    while ((step = statement_step(find)) > 0)
        txn_changed(txn, column_text(find, 0), NULL);
    return statement_end(find, step);
}

enum job_result pg_clock_move(struct txn *txn, int64_t jump_ms)
{
    int moved;

    /* all hosts, in the order in which all servers lock them */
    if (txn_exec(txn, "SELECT slot FROM locks ORDER BY slot FOR UPDATE", "") < 0 ||
        (moved = is_moved(txn)) < 0)
        return JOB_FAILED;
    return moved || (sql_clock_move(txn, jump_ms) == 0 && tell_hosts(txn) == 0) ? JOB_DONE
                                                                                : JOB_FAILED;
}
