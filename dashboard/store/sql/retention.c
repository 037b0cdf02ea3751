/* Finds and removes old data. */
#include "dashboard/fleet/state.h"
#include "dashboard/store/sql/sql.h"

static int64_t read_time(struct statement *find)
{
    int64_t ms = find && statement_first(find) > 0 ? column_int64(find, 0) : 0;

    if (find)
        statement_close(find, 0);
    return ms;
}

void sql_store_clock(struct store *store, int64_t *newest_ms, int64_t *jumped_ms)
{
    *newest_ms = read_time(store_statement(store, "SELECT max(last_seen) FROM hosts"));
    *jumped_ms = read_time(store_statement(store, "SELECT value FROM kv WHERE name='jumped'"));
}

/* ?2: only runs that were last heard of before this time are old. ?6: the lines of old runs from
 * this key on are removed later, unless the limit for the size needs their space. */
#define OLD "(created<?2 AND coalesce(ended,last_seen)<?2 AND last_seen<?2)"

size_t sql_store_runs_expired(struct store *store, const struct retention_limits *limits,
                              int64_t now_ms, struct expired_run *runs, size_t max)
{
    struct statement *find = store_statement(
        store,
        "SELECT k, CASE WHEN " OLD " AND size<=?4 AND k>=?6 THEN 1 ELSE 0 END FROM"
        " (SELECT k, ended, lost, last_seen, created,"
        " row_number() OVER (PARTITION BY host ORDER BY started DESC, k DESC) AS place,"
        " sum(stored+builds_stored) OVER (ORDER BY started DESC, k DESC) AS size FROM runs WHERE "
        "deleted=0) r"
        " WHERE (ended IS NOT NULL OR lost=1 OR last_seen<?1) AND"
        " (" OLD " OR place>?3 OR size>?4)"
        " UNION ALL SELECT k, 0 FROM runs WHERE deleted=1 AND NOT (" OLD " AND k>=?6) AND"
        " EXISTS(SELECT 1 FROM chunks WHERE run=k)"
        " LIMIT ?5");
    int64_t since_ms = now_ms - limits->keep_ms;
    size_t count = 0;
    int step = 0;

    if (!find)
        return 0;
    statement_bind(find, "iiiiii", now_ms - STATE_LOST_MS, since_ms, limits->keep_runs,
                   limits->keep_bytes, (int64_t)max, store_lines_wait_from(store, since_ms));
    while (count < max && (step = statement_step(find)) > 0)
        runs[count++] = (struct expired_run){.key = column_int64(find, 0),
                                             .lines_wait = column_int64(find, 1) != 0};
    statement_end(find, step); /* the next call finds what was not found now */
    return count;
}

int64_t sql_txn_log_remove(struct txn *txn, int64_t key, int64_t max)
{
    if (txn_exec(txn,
                 "DELETE FROM chunks WHERE run=?1 AND first IN (SELECT first FROM chunks WHERE "
                 "run=?1 LIMIT ?2)",
                 "ii", key, max) < 0)
        return -1;
    return txn_rows(txn);
}

int64_t sql_txn_expire(struct txn *txn, int64_t oldest_ms, int64_t forgotten_ms, int64_t max)
{
    int64_t removed;

    if (txn_exec(txn,
                 "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at<?1 LIMIT ?2)",
                 "ii", oldest_ms, max) < 0)
        return -1;
    removed = txn_rows(txn);
    if (txn_exec(txn,
                 "DELETE FROM command_log WHERE id IN (SELECT id FROM command_log WHERE "
                 "created<?1 LIMIT ?2)",
                 "ii", oldest_ms, max) < 0)
        return -1;
    removed += txn_rows(txn);
    if (txn_exec(txn,
                 "DELETE FROM durations WHERE (host, name, kind, what) IN (SELECT host, name, "
                 "kind, what FROM durations WHERE at<?1 LIMIT ?2)",
                 "ii", forgotten_ms, max) < 0)
        return -1;
    removed += txn_rows(txn);
    if (txn_exec(txn,
                 "DELETE FROM runs WHERE k IN (SELECT k FROM runs WHERE deleted=1 AND "
                 "last_seen<?1 AND NOT EXISTS(SELECT 1 FROM chunks WHERE run=k) LIMIT ?2)",
                 "ii", forgotten_ms, max) < 0)
        return -1;
    return removed + txn_rows(txn);
}
