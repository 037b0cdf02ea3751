/* Runs: what reports write to them, and how they are read. */
#include <stdio.h>
#include <string.h>

#include "dashboard/store/sql/rows.h"

/* ---- finding and making ---- */

#define ROW_COLUMNS                                                                              \
    "k, id, host, lines, stored, last_seen, \"interval\", started, ended, lost, stop, deleted, " \
    "phase, created, heartbeats, doubt, estimate_due"

/* Fills row from the first row, and resets. Returns 0 (row->key 0: none) or -1. */
static int read_row(struct statement *find, struct run_row *row)
{
    int found = statement_first(find);

    memset(row, 0, sizeof *row);
    if (found > 0) {
        row->key = column_int64(find, 0);
        column_copy(find, 1, row->id, sizeof row->id);
        column_copy(find, 2, row->host, sizeof row->host);
        row->lines = column_int64(find, 3);
        row->stored = column_int64(find, 4);
        row->last_seen_ms = column_int64(find, 5);
        row->interval_ms = column_int64(find, 6);
        row->started_ms = column_int64(find, 7);
        row->ended = !column_null(find, 8);
        row->lost = column_int64(find, 9) != 0;
        row->stop = column_int64(find, 10) != 0;
        row->deleted = column_int64(find, 11) != 0;
        column_copy(find, 12, row->phase, sizeof row->phase);
        row->created_ms = column_int64(find, 13);
        row->heartbeats = column_int64(find, 14) != 0;
        row->suspect_ms = column_int64(find, 15);
        row->estimate_due_ms = column_int64(find, 16);
    }
    return statement_close(find, found) < 0 ? -1 : 0;
}

#define SELECT_BY_ID "SELECT " ROW_COLUMNS " FROM runs WHERE id=?"

int sql_txn_run_find(struct txn *txn, const char *id, struct run_row *row)
{
    struct statement *find = txn_statement(txn, SELECT_BY_ID);

    if (!find)
        return -1;
    statement_bind(find, "t", id);
    return read_row(find, row);
}

int sql_store_run_find(struct store *store, const char *id, struct run_row *row)
{
    struct statement *find = store_statement(store, SELECT_BY_ID);

    memset(row, 0, sizeof *row);
    if (!find)
        return -1;
    statement_bind(find, "t", id);
    return read_row(find, row) < 0 ? -1 : row->key != 0;
}

int sql_txn_run_find_open(struct txn *txn, const char *host, struct run_row *row)
{
    struct statement *find =
        txn_statement(txn, "SELECT " ROW_COLUMNS
                           " FROM runs WHERE host=? AND ended IS NULL AND lost=0 AND deleted=0"
                           " ORDER BY started DESC, k DESC LIMIT 1");

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    return read_row(find, row);
}

int sql_txn_run_create(struct txn *txn, const char *host, const char *id, struct run_row *row)
{
    char fresh[RUN_ID_SIZE] = "";

    if (!*id)
        run_id_make(txn->now_ms, fresh);
    if (txn_exec(txn,
                 "INSERT INTO runs(id, host, created, started, last_seen) VALUES(?1,?2,?3,?3,?3)",
                 "tti", *id ? id : fresh, host, txn->now_ms) < 0 ||
        sql_txn_run_find(txn, *id ? id : fresh, row) < 0)
        return -1;
    row->fresh = true;
    return row->key ? 0 : -1;
}

/* ---- what reports change ---- */

/* Separate statements, because an UPDATE writes every index that has a column of its SET list, even
 * if the value is the same, and most reports change neither. */
static int update_indexed(struct txn *txn, int64_t key, const struct run_update *update)
{
    if ((update->finished || update->lost) &&
        txn_exec(txn,
                 "UPDATE runs SET lost=CASE WHEN ?3=1 AND ended IS NULL THEN 1 WHEN ?2=1 THEN 0 "
                 "ELSE lost END WHERE k=?1",
                 "iii", key, (int64_t)update->finished, (int64_t)update->lost) < 0)
        return -1;
    if (!update->started_ms)
        return 0;
    return txn_exec(txn, "UPDATE runs SET started=?2 WHERE k=?1", "ii", key, update->started_ms);
}

/* The phase, if it is one in which a run works; else NULL. */
static const char *work_phase(const char *phase)
{
    return !phase || !*phase || strcmp(phase, "done") == 0 || strcmp(phase, "failed") == 0 ? NULL
                                                                                           : phase;
}

/* What a report says of the output. */
struct output {
    bool exists, exact; /* exact: false if `bytes` is only a lower bound */
    int64_t lines, stored, bytes, silent_since_ms;
};

static struct output output_of(const struct txn *txn, const struct run_update *update)
{
    const struct run_row *row = update->output;

    if (!row)
        return (struct output){.bytes = update->bytes, .silent_since_ms = update->silent_since_ms};
    return (struct output){.exists = true,
                           .exact = update->bytes >= 0,
                           .lines = row->lines,
                           .stored = row->stored,
                           .bytes = update->bytes >= 0 ? update->bytes : row->stored,
                           .silent_since_ms = txn->now_ms};
}

int sql_txn_run_update(struct txn *txn, int64_t key, const struct run_update *update)
{
    struct output output = output_of(txn, update);

    if (txn_exec(txn,
                 "UPDATE runs SET last_seen=?2, \"interval\"=?3, command=coalesce(?4,command), "
                 "argv=coalesce(?5,argv), \"user\"=coalesce(?6,\"user\"), "
                 "name=coalesce(?7,name), last_phase=coalesce(?8,last_phase), phase=CASE WHEN "
                 "ended IS NOT NULL AND ?11=0 THEN phase ELSE coalesce(?9,phase) END, "
                 "progress=coalesce(?10,progress), heartbeats=CASE WHEN ?12>heartbeats THEN ?12 "
                 "ELSE heartbeats END, doubt=CASE WHEN ?12=1 THEN 0 ELSE doubt END, "
                 "lines=CASE WHEN ?13=1 THEN ?14 ELSE lines END, stored=CASE WHEN ?13=1 THEN ?15 "
                 "ELSE stored END, bytes=CASE WHEN ?16=1 OR ?17>bytes THEN ?17 ELSE bytes END, "
                 "silent_since=CASE WHEN ?18>0 THEN ?18 ELSE silent_since END WHERE k=?1",
                 "iiitttttttiiiiiiii", key, update->last_seen_ms, update->interval_ms,
                 update->command, update->argv, update->user, update->name,
                 work_phase(update->phase), update->phase, update->progress,
                 (int64_t)update->finished, (int64_t)update->heartbeat, (int64_t)output.exists,
                 output.lines, output.stored, (int64_t)output.exact, output.bytes,
                 output.silent_since_ms) < 0)
        return -1;
    return update_indexed(txn, key, update);
}

int sql_txn_run_finish(struct txn *txn, int64_t key, const struct run_end *end)
{
    return txn_exec(
        txn,
        "UPDATE runs SET ended=coalesce(ended,?2), exit=coalesce(?3,exit), outcome=CASE WHEN ?4 "
        "IS NULL OR (?9=0 AND outcome IS NOT NULL) THEN outcome ELSE ?4 END, "
        "error=coalesce(?5,error), error_line=CASE WHEN ?6>=0 THEN ?6 ELSE error_line END, "
        "failed=coalesce(?7,failed), failed_units=coalesce(?8,failed_units), lost=0, phase=CASE "
        "WHEN phase IN ('done','failed') THEN phase WHEN ?4='failure' THEN 'failed' ELSE 'done' "
        "END WHERE k=?1",
        "iitttitti", key, end->ended_ms, end->exit, end->outcome, end->error, end->error_line,
        end->failed, end->failed_units, (int64_t)end->authoritative);
}

int sql_txn_run_save_counts(struct txn *txn, const struct run_row *row, int64_t bytes)
{
    return txn_exec(txn,
                    "UPDATE runs SET lines=?2, stored=?3, bytes=CASE WHEN ?4>=0 THEN ?4 ELSE "
                    "CASE WHEN bytes>?3 THEN bytes ELSE ?3 END END, silent_since=?5 WHERE k=?1",
                    "iiiii", row->key, row->lines, row->stored, bytes, txn->now_ms);
}

int sql_txn_run_hide(struct txn *txn, int64_t key, char host[HOST_ID_SIZE])
{
    struct statement *find = txn_statement(txn, "SELECT host FROM runs WHERE k=?");
    int found;

    host[0] = '\0';
    if (!find)
        return -1;
    statement_bind(find, "i", key);
    if ((found = statement_first(find)) > 0)
        column_copy(find, 0, host, HOST_ID_SIZE);
    found = statement_close(find, found);
    txn_lock_host(txn, host);
    if (found < 0 ||
        txn_exec(txn, "UPDATE runs SET deleted=1, lines=0, stored=0, builds_stored=0 WHERE k=?",
                 "i", key) < 0 ||
        sql_txn_builds_remove(txn, key) < 0)
        return -1;
    return sql_txn_host_refresh(txn, host);
}

/* ---- reading ---- */

void read_facts(struct statement *row, int column, struct run_facts *facts)
{
    *facts = (struct run_facts){
        .exists = !column_null(row, column),
        .started_ms = column_int64(row, column),
        .last_seen_ms = column_int64(row, column + 1),
        .ended = !column_null(row, column + 2),
        .ended_ms = column_int64(row, column + 2),
        .interval_ms = column_int64(row, column + 3),
        .lost = column_int64(row, column + 4) != 0,
        .heartbeats = column_int64(row, column + 5) != 0,
        .suspect_ms = column_int64(row, column + 6),
    };
}

void read_run(struct statement *row, int column, struct run_details *run)
{
    int c = column + FACT_COLUMN_COUNT;

    read_facts(row, column, &run->facts);
    run->id = column_text(row, c++);
    run->host = column_text(row, c++);
    run->command = column_text(row, c++);
    run->argv = column_text(row, c++);
    run->name = column_text(row, c++);
    run->user = column_text(row, c++);
    run->phase = column_text(row, c++);
    run->last_phase = column_text(row, c++);
    run->progress = column_text(row, c++);
    run->outcome = column_text(row, c++);
    run->exit = column_text(row, c++);
    run->error = column_text(row, c++);
    run->failed = column_text(row, c++);
    run->failed_units = column_text(row, c++);
    run->error_line = column_null(row, c) ? -1 : column_int64(row, c);
    run->lines = column_int64(row, ++c);
    run->bytes = column_int64(row, ++c);
    run->silent_since_ms = column_int64(row, ++c);
    run->stop = column_int64(row, ++c) != 0;
    run->stop_ms = column_int64(row, ++c);
    run->stop_by = column_text(row, ++c);
    run->eta_ms = column_int64(row, ++c);
    run->eta_low_ms = column_int64(row, ++c);
    run->eta_high_ms = column_int64(row, ++c);
}

int sql_store_run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE])
{
    struct statement *find = store_statement(
        store,
        "SELECT id FROM (SELECT id FROM runs WHERE host=?1 AND ended IS NULL AND lost=0 AND "
        "deleted=0 ORDER BY started DESC, k DESC LIMIT 1) a"
        " UNION ALL SELECT id FROM (SELECT id FROM runs WHERE host=?1 AND deleted=0 ORDER BY "
        "started DESC, k DESC LIMIT 1) b");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    if ((found = statement_first(find)) > 0)
        column_copy(find, 0, id, RUN_ID_SIZE);
    return statement_close(find, found);
}

int sql_store_run(struct store *store, const char *host, const char *id,
                  void (*visit)(void *context, const struct run_details *row), void *context)
{
    struct statement *find = store_statement(
        store, "SELECT " RUN_COLUMNS
               " FROM runs r WHERE r.id=?1 AND (r.host=?2 OR ?2 IS NULL) AND r.deleted=0");
    struct run_details row;
    int found;

    if (!find)
        return -1;
    statement_bind(find, "tt", id, host);
    if ((found = statement_first(find)) > 0) {
        read_run(find, 0, &row);
        visit(context, &row);
    }
    return statement_close(find, found);
}

#define RUNS_BEFORE                                                                   \
    " AND (?2 IS NULL OR (r.started, r.k)<(SELECT started, k FROM runs WHERE id=?2))" \
    " ORDER BY r.started DESC, r.k DESC LIMIT ?3"

int sql_store_runs(struct store *store, const char *host, const char *before, int64_t limit,
                   void (*visit)(void *context, const struct run_details *row), void *context)
{
    struct statement *find =
        host ? store_statement(store, "SELECT " RUN_COLUMNS " FROM runs r WHERE r.host=?1 AND "
                                      "r.deleted=0" RUNS_BEFORE)
             : store_statement(store, "SELECT " RUN_COLUMNS
                                      " FROM runs r WHERE ?1 IS NULL AND r.deleted=0" RUNS_BEFORE);
    int step;

    if (!find)
        return -1;
    statement_bind(find, "tti", host, before, limit);
    while ((step = statement_step(find)) > 0) {
        struct run_details row;

        read_run(find, 0, &row);
        visit(context, &row);
    }
    return statement_end(find, step);
}
