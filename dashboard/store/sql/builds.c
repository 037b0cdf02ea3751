/* The derivations of a run, and what it changed in nix's profiles. The logs of the derivations:
 * build_logs.c. */
#include "dashboard/store/sql/sql.h"

int sql_txn_derivation_put(struct txn *txn, int64_t key, const struct derivation_row *row)
{
    return txn_exec(
        txn,
        "INSERT INTO derivations(run,n,name,state,machine,step,started,ended,line,lines)"
        " VALUES(?1,?2,?3,?4,?5,?6,nullif(?7,0),nullif(?8,0),?9,?10)"
        " ON CONFLICT(run,n) DO UPDATE SET name=?3, state=?4, machine=?5, step=?6,"
        " started=coalesce(nullif(?7,0),derivations.started),"
        " ended=coalesce(nullif(?8,0),derivations.ended),"
        " line=?9, lines=?10,"
        /* another derivation has this index now, so the stored log is not the log of this one */
        " log_lines=CASE WHEN derivations.name=?3 THEN derivations.log_lines ELSE 0 END",
        "iittttiiii", key, row->n, row->name, row->state, row->machine, row->step, row->started_ms,
        row->ended_ms, row->line, row->lines);
}

#define SELECT_DERIVATIONS                                                               \
    "SELECT n, name, state, machine, step, started, ended, line, lines, log_lines FROM " \
    "derivations WHERE run=? AND n>=? ORDER BY n LIMIT ?"

static int read_derivations(struct statement *find, int64_t key, int64_t from, int64_t limit,
                            void (*visit)(void *context, const struct derivation_row *row),
                            void *context)
{
    int step;

    if (!find)
        return -1;
    statement_bind(find, "iii", key, from, limit);
    while ((step = statement_step(find)) > 0) {
        const struct derivation_row row = {.n = column_int64(find, 0),
                                           .name = column_text(find, 1),
                                           .state = column_text(find, 2),
                                           .machine = column_text(find, 3),
                                           .step = column_text(find, 4),
                                           .started_ms = column_int64(find, 5),
                                           .ended_ms = column_int64(find, 6),
                                           .line = column_int64(find, 7),
                                           .lines = column_int64(find, 8),
                                           .log_lines = column_int64(find, 9)};
        visit(context, &row);
    }
    return statement_end(find, step);
}

int sql_store_derivations(struct store *store, int64_t key, int64_t from, int64_t limit,
                          void (*visit)(void *context, const struct derivation_row *row),
                          void *context)
{
    return read_derivations(store_statement(store, SELECT_DERIVATIONS), key, from, limit, visit,
                            context);
}

int sql_txn_derivations(struct txn *txn, int64_t key,
                        void (*visit)(void *context, const struct derivation_row *row),
                        void *context)
{
    return read_derivations(txn_statement(txn, SELECT_DERIVATIONS), key, 0, INT64_MAX, visit,
                            context);
}

int sql_txn_changes_put(struct txn *txn, int64_t key, const char *changes)
{
    return txn_exec(
        txn,
        "INSERT INTO run_changes(run, text) VALUES(?1,?2) ON CONFLICT(run) DO UPDATE SET text=?2",
        "it", key, changes);
}

int sql_store_changes(struct store *store, int64_t key,
                      void (*visit)(void *context, const char *changes), void *context)
{
    struct statement *find = store_statement(store, "SELECT text FROM run_changes WHERE run=?");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "i", key);
    if ((found = statement_first(find)) > 0)
        visit(context, column_text(find, 0));
    return statement_close(find, found);
}

int sql_txn_builds_remove(struct txn *txn, int64_t key)
{
    if (txn_exec(txn, "DELETE FROM derivations WHERE run=?", "i", key) < 0 ||
        txn_exec(txn, "DELETE FROM build_logs WHERE run=?", "i", key) < 0)
        return -1;
    return txn_exec(txn, "DELETE FROM run_changes WHERE run=?", "i", key);
}
