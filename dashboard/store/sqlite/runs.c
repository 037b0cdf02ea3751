/* Writing the rows of runs and hosts. */
#include "dashboard/store/sqlite/runs.h"

#include <stdio.h>
#include <string.h>

#include "common/io.h"

#define ROW_COLUMNS                                                                          \
    "k, id, host, lines, stored, last_seen, interval, started, ended, lost, stop, deleted, " \
    "phase, created"

static int read_row(sqlite3_stmt *find, struct run_row *row)
{
    int result = sqlite3_step(find);

    memset(row, 0, sizeof *row);
    if (result == SQLITE_ROW) {
        row->k = sqlite3_column_int64(find, 0);
        snprintf(row->id, sizeof row->id, "%s", column_text(find, 1));
        snprintf(row->host, sizeof row->host, "%s", column_text(find, 2));
        row->lines = sqlite3_column_int64(find, 3);
        row->stored = sqlite3_column_int64(find, 4);
        row->last_seen = sqlite3_column_int64(find, 5);
        row->interval = sqlite3_column_int64(find, 6);
        row->started = sqlite3_column_int64(find, 7);
        row->ended = sqlite3_column_type(find, 8) != SQLITE_NULL;
        row->lost = sqlite3_column_int64(find, 9) != 0;
        row->stop = sqlite3_column_int64(find, 10) != 0;
        row->deleted = sqlite3_column_int64(find, 11) != 0;
        if (column_text(find, 12))
            snprintf(row->phase, sizeof row->phase, "%s", column_text(find, 12));
        row->created = sqlite3_column_int64(find, 13);
    }
    sqlite3_reset(find);
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : -1;
}

int run_find(struct txn *txn, const char *id, struct run_row *row)
{
    sqlite3_stmt *find = txn_statement(txn, "SELECT " ROW_COLUMNS " FROM runs WHERE id=?");

    if (!find)
        return -1;
    statement_bind(find, "t", id);
    return read_row(find, row);
}

int run_find_open(struct txn *txn, const char *host, struct run_row *row)
{
    sqlite3_stmt *find =
        txn_statement(txn, "SELECT " ROW_COLUMNS
                           " FROM runs WHERE host=? AND ended IS NULL AND lost=0 AND deleted=0"
                           " ORDER BY started DESC, k DESC LIMIT 1");

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    return read_row(find, row);
}

static int done(sqlite3_stmt *statement)
{
    int result = statement ? sqlite3_step(statement) : SQLITE_ERROR;

    if (statement)
        sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : -1;
}

int run_create(struct txn *txn, const char *host, const char *id, struct run_row *row)
{
    sqlite3_stmt *insert = txn_statement(
        txn, "INSERT INTO runs(id, host, created, started, last_seen) VALUES(?1,?2,?3,?3,?3)");
    char fresh[RUN_ID_SIZE];

    if (!insert)
        return -1;
    if (!*id)
        run_id_make(txn->now_ms, fresh);
    statement_bind(insert, "tti", *id ? id : fresh, host, txn->now_ms);
    if (done(insert) < 0 || run_find(txn, *id ? id : fresh, row) < 0)
        return -1;
    row->fresh = true;
    return row->k ? 0 : -1;
}

int host_seen(struct txn *txn, const char *host)
{
    sqlite3_stmt *insert =
        txn_statement(txn, "INSERT INTO hosts(id, hostname, last_seen, status) "
                           "VALUES(?1,?1,?2,'ok') ON CONFLICT(id) DO UPDATE SET last_seen=?2");

    if (!insert)
        return -1;
    statement_bind(insert, "ti", host, txn->now_ms);
    return done(insert);
}

static void read_facts(sqlite3_stmt *row, int column, struct run_facts *facts)
{
    *facts = (struct run_facts){
        .exists = sqlite3_column_type(row, column) != SQLITE_NULL,
        .started_ms = sqlite3_column_int64(row, column),
        .last_seen_ms = sqlite3_column_int64(row, column + 1),
        .ended = sqlite3_column_type(row, column + 2) != SQLITE_NULL,
        .ended_ms = sqlite3_column_int64(row, column + 2),
        .interval_ms = sqlite3_column_int64(row, column + 3),
        .lost = sqlite3_column_int64(row, column + 4) != 0,
    };
}

#define FACT_COLUMNS "r.started, r.last_seen, r.ended, r.interval, r.lost"

/* Finds the run that the host is told of by: one of those that are open, or the newest. */
static int find_told(struct txn *txn, const char *host, char id[RUN_ID_SIZE],
                     struct run_facts *told)
{
    sqlite3_stmt *find = txn_statement(
        txn, "SELECT * FROM (SELECT id, " FACT_COLUMNS
             " FROM runs r WHERE host=?1 AND ended IS NULL AND lost=0 AND deleted=0 ORDER BY "
             "started DESC, k DESC)"
             " UNION ALL SELECT * FROM (SELECT id, " FACT_COLUMNS
             " FROM runs r WHERE host=?1 AND deleted=0 ORDER BY started DESC, k DESC LIMIT 1)");
    int result;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    while ((result = sqlite3_step(find)) == SQLITE_ROW) {
        struct run_facts facts;

        read_facts(find, 1, &facts);
        if (told->exists && !run_outranks(&facts, told, txn->now_ms))
            continue;
        *told = facts;
        snprintf(id, RUN_ID_SIZE, "%s", column_text(find, 0));
    }
    sqlite3_reset(find);
    return result == SQLITE_DONE ? 0 : -1;
}

int host_settle(struct txn *txn, const char *host)
{
    sqlite3_stmt *find = txn_statement(txn, "SELECT last_seen FROM hosts WHERE id=?");
    sqlite3_stmt *update = txn_statement(txn, "UPDATE hosts SET run=?2, changes_at=?3 WHERE id=?1");
    struct run_facts facts = {0};
    char run[RUN_ID_SIZE];
    int64_t last_seen;

    if (!find || !update)
        return -1;
    statement_bind(find, "t", host);
    if (sqlite3_step(find) != SQLITE_ROW) {
        sqlite3_reset(find);
        return 0;
    }
    last_seen = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    if (find_told(txn, host, run, &facts) < 0)
        return -1;
    statement_bind(update, "tti", host, facts.exists ? run : NULL,
                   state_changes_at(last_seen, &facts, txn->now_ms));
    return done(update);
}

int host_goes_on(struct txn *txn, const char *host, const char *run, const struct run_facts *facts)
{
    sqlite3_stmt *update =
        txn_statement(txn, "UPDATE hosts SET last_seen=?3, changes_at=?4 WHERE id=?1 AND run=?2");

    if (!update)
        return -1;
    statement_bind(update, "ttii", host, run, txn->now_ms,
                   state_changes_at(txn->now_ms, facts, txn->now_ms));
    if (done(update) < 0)
        return -1;
    return sqlite3_changes(txn->db) > 0;
}

/* ---- JSON ---- */

#define RUN_COLUMNS                                                                           \
    "r.id, r.host, r.command, r.argv, r.user, r.phase, r.last_phase, r.progress, r.outcome, " \
    "r.exit, r.error, r.error_line, r.failed,"                                                \
    " r.failed_units, r.lines, r.bytes, r.stop, r.silent_since, r.name, " FACT_COLUMNS
#define RUN_FACTS 19
#define RUN_COLUMN_COUNT 24

static void add_run(sqlite3_stmt *row, int c, int64_t now_ms, struct text *out)
{
    struct run_facts facts;
    enum run_state state;
    int64_t silent_since = sqlite3_column_int64(row, c + 17);

    if (sqlite3_column_type(row, c) == SQLITE_NULL) {
        text_puts(out, "null");
        return;
    }
    read_facts(row, c + RUN_FACTS, &facts);
    state = state_of_run(&facts, now_ms);
    text_puts(out, "{");
    text_key_json(out, "id", column_text(row, c));
    text_key_json(out, "host", column_text(row, c + 1));
    text_key_json(out, "command", column_text(row, c + 2));
    text_key_raw(out, "argv", column_text(row, c + 3));
    text_key_json(out, "name", column_text(row, c + 18));
    text_key_json(out, "user", column_text(row, c + 4));
    text_key_time(out, "started", facts.started_ms);
    text_key_time(out, "ended", facts.ended_ms);
    text_key_json(out, "status", run_state_name(state));
    text_key_json(out, "phase", column_text(row, c + 5));
    text_key_json(out, "last_phase", column_text(row, c + 6));
    text_key_raw(out, "progress", column_text(row, c + 7));
    text_key_json(out, "outcome", column_text(row, c + 8));
    text_key_raw(out, "exit", column_text(row, c + 9));
    text_key_json(out, "error", column_text(row, c + 10));
    text_key_raw(out, "error_line", column_text(row, c + 11));
    text_key_raw(out, "failed", column_text(row, c + 12));
    text_key_raw(out, "failed_units", column_text(row, c + 13));
    text_key_int(out, "lines", sqlite3_column_int64(row, c + 14));
    text_key_int(out, "bytes", sqlite3_column_int64(row, c + 15));
    text_key_int(out, "first", 0);
    text_key_int(
        out, "silent_for",
        silent_since && !facts.ended && now_ms > silent_since ? (now_ms - silent_since) / 1000 : 0);
    text_key_time(out, "last_seen", facts.last_seen_ms);
    text_key_int(out, "interval", facts.interval_ms / 1000);
    text_key_raw(out, "lost", state == RUN_CRASHED ? "true" : "false");
    text_key_raw(out, "stop_requested", sqlite3_column_int64(row, c + 16) ? "true" : "false");
    text_puts(out, "}");
}

bool run_json(struct store *store, const char *host, const char *id, int64_t now_ms,
              struct text *out)
{
    sqlite3_stmt *find = store_statement(
        store, "SELECT " RUN_COLUMNS
               " FROM runs r WHERE r.id=?1 AND (r.host=?2 OR ?2 IS NULL) AND r.deleted=0");
    bool found;

    if (!find)
        return false;
    statement_bind(find, "tt", id, host);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        add_run(find, 0, now_ms, out);
    sqlite3_reset(find);
    return found;
}

void add_run_progress(struct store *store, const char *id, struct text *out)
{
    sqlite3_stmt *find =
        store_statement(store, "SELECT phase, progress, exit FROM runs WHERE id=?");

    if (!find)
        return;
    statement_bind(find, "t", id);
    if (sqlite3_step(find) == SQLITE_ROW) {
        text_key_json(out, "phase", column_text(find, 0));
        text_key_raw(out, "progress", column_text(find, 1));
        text_key_raw(out, "exit", column_text(find, 2));
    }
    sqlite3_reset(find);
}

bool runs_json(struct store *store, const char *host, const char *before, int64_t limit,
               int64_t now_ms, struct text *out)
{
    sqlite3_stmt *find = store_statement(
        store, "SELECT " RUN_COLUMNS " FROM runs r WHERE r.host=?1 AND r.deleted=0 AND"
               " (?2 IS NULL OR (r.started, r.k)<(SELECT started, k FROM runs WHERE id=?2))"
               " ORDER BY r.started DESC, r.k DESC LIMIT ?3");
    bool first = true;

    if (!find)
        return false;
    statement_bind(find, "tti", host, before, limit);
    text_puts(out, "[");
    while (sqlite3_step(find) == SQLITE_ROW) {
        if (!first)
            text_puts(out, ",");
        first = false;
        add_run(find, 0, now_ms, out);
    }
    text_puts(out, "]");
    sqlite3_reset(find);
    return true;
}

static void add_history(struct store *store, const char *host, struct text *out)
{
    sqlite3_stmt *find = store_statement(
        store, "SELECT at, icon, message FROM history WHERE host=? ORDER BY id DESC LIMIT 50");
    bool first = true;

    text_puts(out, "[");
    if (find)
        statement_bind(find, "t", host);
    while (find && sqlite3_step(find) == SQLITE_ROW) {
        char time[RFC3339_SIZE];

        format_rfc3339(sqlite3_column_int64(find, 0), time);
        text_printf(out, "%s{\"timestamp\":\"%.23s000Z\"", first ? "" : ",", time);
        text_key_json(out, "icon", column_text(find, 1));
        text_key_json(out, "message", column_text(find, 2));
        text_puts(out, "}");
        first = false;
    }
    text_puts(out, "]");
    sqlite3_reset(find);
}

#define HOST_TEXTS                                                                             \
    "h.id, h.hostname, h.host_type, h.location, h.device_type, h.theme_color, h.criticality, " \
    "h.icon, h.current_generation, h.status,"                                                  \
    " h.pending_command, h.comment, h.test_status, h.config_repo, h.test_result, h.metrics, "  \
    "h.agent_version, h.nixpkgs_version,"                                                      \
    " h.os_version, h.os_name"
#define HOST_TEXT_COUNT 20
#define HOST_NUMBERS \
    "h.test_running, h.test_current, h.test_total, h.test_passed_count, h.poll_interval"
#define HOST_TIMES                                                                \
    "h.last_seen, h.last_switch, h.last_audit, h.last_fix, h.command_queued_at, " \
    "h.metrics_updated_at"

static void add_host(struct store *store, sqlite3_stmt *row, bool history, int64_t now_ms,
                     struct text *out)
{
    static const char *const texts[] = {"id",
                                        "hostname",
                                        "host_type",
                                        "location",
                                        "device_type",
                                        "theme_color",
                                        "criticality",
                                        "icon",
                                        "current_generation",
                                        "status",
                                        "pending_command",
                                        "comment",
                                        "test_status",
                                        "config_repo",
                                        "test_result",
                                        "metrics",
                                        "agent_version",
                                        "nixpkgs_version",
                                        "os_version",
                                        "os_name"};
    static const char *const numbers[] = {"test_running", "test_current", "test_total",
                                          "test_passed_count", "poll_interval"};
    static const char *const times[] = {"last_seen", "last_switch",       "last_audit",
                                        "last_fix",  "command_queued_at", "metrics_updated_at"};
    int c = HOST_TEXT_COUNT;
    int64_t last_seen, since = 0;
    struct run_facts facts;

    text_puts(out, "{");
    for (int i = 0; i < HOST_TEXT_COUNT; i++)
        text_key_json(out, texts[i], column_text(row, i));
    for (int i = 0; i < 5; i++)
        text_key_int(out, numbers[i], sqlite3_column_int64(row, c + i));
    c += 5;
    last_seen = sqlite3_column_int64(row, c);
    for (int i = 0; i < 6; i++)
        text_key_v1_time(out, times[i], sqlite3_column_int64(row, c + i));
    c += 6;
    text_key_raw(out, "online",
                 last_seen && now_ms - last_seen < STATE_OFFLINE_MS ? "true" : "false");
    if (history) {
        text_key(out, "status_history");
        add_history(store, column_text(row, 0), out);
    }
    read_facts(row, c + RUN_FACTS, &facts);
    facts.exists = sqlite3_column_type(row, c) != SQLITE_NULL;
    text_key_json(out, "state", host_state_name(state_of_host(last_seen, &facts, now_ms, &since)));
    text_key_int(out, "state_since", since);
    text_key(out, "run");
    add_run(row, c, now_ms, out);
    text_puts(out, "}");
}

#define SELECT_HOSTS                                                        \
    "SELECT " HOST_TEXTS ", " HOST_NUMBERS ", " HOST_TIMES ", " RUN_COLUMNS \
    " FROM hosts h LEFT JOIN runs r ON r.id=h.run AND r.deleted=0"

bool hosts_json(struct store *store, bool history, int64_t now_ms, struct text *out)
{
    sqlite3_stmt *find = store_statement(store, SELECT_HOSTS " ORDER BY h.hostname");
    bool first = true;

    if (!find)
        return false;
    while (sqlite3_step(find) == SQLITE_ROW) {
        text_puts(out, first ? "" : ",");
        first = false;
        add_host(store, find, history, now_ms, out);
    }
    return sqlite3_reset(find) == SQLITE_OK;
}

bool host_json(struct store *store, const char *id, bool history, int64_t now_ms, struct text *out)
{
    sqlite3_stmt *find = store_statement(store, SELECT_HOSTS " WHERE h.id=?");
    bool found;

    if (!find)
        return false;
    statement_bind(find, "t", id);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        add_host(store, find, history, now_ms, out);
    sqlite3_reset(find);
    return found;
}

bool run_view(struct store *store, const char *id, struct run_view *view)
{
    sqlite3_stmt *find =
        store_statement(store, "SELECT k, lines, ended, lost, deleted, host FROM runs WHERE id=?");
    bool found;

    memset(view, 0, sizeof *view);
    if (!find)
        return false;
    statement_bind(find, "t", id);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found) {
        view->k = sqlite3_column_int64(find, 0);
        view->lines = sqlite3_column_int64(find, 1);
        view->ended = sqlite3_column_type(find, 2) != SQLITE_NULL;
        view->lost = sqlite3_column_int64(find, 3) != 0;
        view->deleted = sqlite3_column_int64(find, 4) != 0;
        snprintf(view->host, sizeof view->host, "%s", column_text(find, 5));
    }
    sqlite3_reset(find);
    return found;
}

bool run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE])
{
    sqlite3_stmt *find = store_statement(
        store,
        "SELECT id FROM (SELECT id FROM runs WHERE host=?1 AND ended IS NULL AND lost=0 AND "
        "deleted=0 ORDER BY started DESC, k DESC LIMIT 1)"
        " UNION ALL SELECT id FROM (SELECT id FROM runs WHERE host=?1 AND deleted=0 ORDER BY "
        "started DESC, k DESC LIMIT 1)");
    bool found;

    if (!find)
        return false;
    statement_bind(find, "t", host);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        snprintf(id, RUN_ID_SIZE, "%s", column_text(find, 0));
    sqlite3_reset(find);
    return found;
}
