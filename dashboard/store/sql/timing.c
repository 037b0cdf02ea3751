/* How long runs take: the timing of each run, and the durations of past runs. */
#include "dashboard/store/durations.h"
#include "dashboard/store/sql/sql.h"

int sql_txn_run_timing(struct txn *txn, int64_t key, struct run_timing *timing)
{
    struct statement *find =
        txn_statement(txn, "SELECT name, started, phase_at, phases, eta, eta_low, eta_high, "
                           "estimate_due FROM runs WHERE k=?");
    int found;

    *timing = (struct run_timing){0};
    if (!find)
        return -1;
    statement_bind(find, "i", key);
    if ((found = statement_first(find)) > 0) {
        column_copy(find, 0, timing->name, sizeof timing->name);
        timing->started_ms = column_int64(find, 1);
        timing->phase_at_ms = column_int64(find, 2);
        column_copy(find, 3, timing->phases, sizeof timing->phases);
        timing->eta_ms = column_int64(find, 4);
        timing->eta_low_ms = column_int64(find, 5);
        timing->eta_high_ms = column_int64(find, 6);
        timing->due_ms = column_int64(find, 7);
    }
    return statement_close(find, found) < 0 ? -1 : 0;
}

int sql_txn_run_set_timing(struct txn *txn, int64_t key, const struct run_timing *timing)
{
    return txn_exec(txn,
                    "UPDATE runs SET phase_at=?2, phases=?3, eta=nullif(?4,0), "
                    "eta_low=nullif(?5,0), eta_high=nullif(?6,0), estimate_due=?7 WHERE k=?1",
                    "iitiiii", key, timing->phase_at_ms, timing->phases, timing->eta_ms,
                    timing->eta_low_ms, timing->eta_high_ms, timing->due_ms);
}

int sql_txn_duration_add(struct txn *txn, const char *host, const char *name, const char *kind,
                         const char *what, int64_t ms)
{
    struct statement *find = txn_statement(
        txn, "SELECT last FROM durations WHERE host=? AND name=? AND kind=? AND what=?");
    char last[DURATIONS_TEXT_SIZE];
    int found;

    if (!find)
        return -1;
    statement_bind(find, "tttt", host, name, kind, what);
    if ((found = statement_first(find)) >= 0)
        durations_add(last, found ? column_text(find, 0) : NULL, ms);
    return statement_close(find, found) < 0
               ? -1
               : txn_exec(txn,
                          "INSERT INTO durations(host, name, kind, what, at, last) "
                          "VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(host, name, kind, what) DO "
                          "UPDATE SET at=?5, last=?6",
                          "ttttit", host, name, kind, what, txn->now_ms, last);
}

int sql_txn_durations(struct txn *txn, const char *host, const char *name,
                      void (*visit)(void *context, const struct duration_row *row), void *context)
{
    struct statement *find =
        txn_statement(txn, "SELECT kind, what, last FROM durations WHERE host=? "
                           "AND name=? ORDER BY kind, what");
    int step;

    if (!find)
        return -1;
    statement_bind(find, "tt", host, name);
    while ((step = statement_step(find)) > 0) {
        struct duration_row row = {.kind = column_text(find, 0), .what = column_text(find, 1)};

        durations_read(column_text(find, 2), &row);
        visit(context, &row);
    }
    return statement_end(find, step);
}

int sql_txn_durations_trim(struct txn *txn, const char *host, int64_t max)
{
    return txn_exec(txn,
                    "DELETE FROM durations WHERE host=?1 AND at<(SELECT at FROM durations WHERE "
                    "host=?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)",
                    "ti", host, max > 0 ? max - 1 : 0);
}
