/* Hosts, and the run that is shown for each. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "dashboard/fleet/state.h"
#include "dashboard/fleet/verdict.h"
#include "dashboard/store/sql/rows.h"

/* The number of names whose verdicts are read. A host with more names runs ad hoc commands, of
 * which only the newest matter. */
#define VERDICTS_MAX 32
#define VERDICTS_READ "32"
#define VERDICT_NAME_SIZE 160 /* bytes; names have been limited before */

int sql_txn_host_seen(struct txn *txn, const char *host)
{
    return txn_exec(txn,
                    "INSERT INTO hosts(id, hostname, last_seen, status, host_type, location, "
                    "device_type) VALUES(?1,?1,?2,'ok',NULL,NULL,NULL) ON CONFLICT(id) DO UPDATE "
                    "SET last_seen=?2",
                    "ti", host, txn->now_ms);
}

int sql_txn_host_agent_seen(struct txn *txn, const char *host)
{
    return txn_exec(txn, "UPDATE hosts SET agent_seen=?2 WHERE id=?1", "ti", host, txn->now_ms);
}

int sql_txn_runs_suspect(struct txn *txn, const char *host, const char *except)
{
    return txn_exec(txn,
                    "UPDATE runs SET doubt=?3 WHERE host=?1 AND ended IS NULL AND lost=0 AND "
                    "deleted=0 AND id<>?2 AND doubt=0 AND last_seen+?4*\"interval\"<=?3",
                    "ttii", host, except ? except : "", txn->now_ms, (int64_t)STATE_INTERVALS);
}

/* ---- verdicts ---- */

/* Chooses the verdict that counts for the host. */
static int refresh_verdict(struct txn *txn, const char *host)
{
    struct statement *find =
        txn_statement(txn, "SELECT name, outcome, started FROM verdicts WHERE host=? ORDER BY "
                           "started DESC LIMIT " VERDICTS_READ);
    char names[VERDICTS_MAX][VERDICT_NAME_SIZE], outcomes[VERDICTS_MAX][16];
    struct verdict_row rows[VERDICTS_MAX] = {0};
    size_t count = 0;
    int step, counts;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    while ((step = statement_step(find)) > 0 && count < VERDICTS_MAX) {
        column_copy(find, 0, names[count], VERDICT_NAME_SIZE);
        column_copy(find, 1, outcomes[count], sizeof outcomes[count]);
        rows[count].name = names[count];
        rows[count].outcome = outcomes[count];
        rows[count].started_ms = column_int64(find, 2);
        count++;
    }
    if (statement_end(find, step) < 0)
        return -1;
    counts = verdict_of_host(rows, count);
    return txn_exec(txn, "UPDATE hosts SET verdict=?2 WHERE id=?1", "tt", host,
                    counts < 0 ? NULL : rows[counts].name);
}

int sql_txn_verdict(struct txn *txn, const char *host, const struct verdict_row *row)
{
    if (txn_exec(txn,
                 "INSERT INTO verdicts(host, name, run, outcome, error, started, ended, success, "
                 "failure) VALUES(?1,?2,?3,?4,?5,?6,?7,CASE WHEN ?4='success' THEN ?7 END,CASE "
                 "WHEN ?4<>'success' THEN ?7 END) ON CONFLICT(host, name) DO UPDATE SET "
                 "run=excluded.run, outcome=excluded.outcome, error=excluded.error, "
                 "started=excluded.started, ended=excluded.ended, "
                 "success=coalesce(excluded.success,verdicts.success), "
                 "failure=coalesce(excluded.failure,verdicts.failure) WHERE "
                 "excluded.run=verdicts.run OR excluded.started>verdicts.started OR "
                 "(excluded.started=verdicts.started AND (excluded.run IS NOT NULL OR "
                 "verdicts.run IS NULL))",
                 "tttttii", host, row->name ? row->name : "", row->run, row->outcome, row->error,
                 row->started_ms, row->ended_ms) < 0)
        return -1;
    return refresh_verdict(txn, host);
}

int sql_txn_run_verdict(struct txn *txn, const char *host, const char *id)
{
    /* Usually this changes nothing: a crashed run is examined again and again. */
    if (txn_exec(txn,
                 "INSERT INTO verdicts(host, name, run, outcome, error, started, ended, success, "
                 "failure) SELECT host, coalesce(name,''), id, CASE WHEN ended IS NULL THEN "
                 "'crashed' ELSE outcome END, error, started, coalesce(ended,last_seen), CASE WHEN "
                 "ended IS NOT NULL AND outcome='success' THEN ended END, CASE WHEN ended IS NULL "
                 "OR outcome<>'success' THEN coalesce(ended,last_seen) END FROM runs r WHERE id=?1 "
                 "AND "
                 "deleted=0 AND (ended IS NULL OR coalesce(outcome,'stopped')<>'stopped') AND NOT "
                 "EXISTS(SELECT 1 FROM verdicts v WHERE v.host=r.host AND "
                 "v.name=coalesce(r.name,'') AND (v.started>r.started OR (v.run=r.id AND r.ended "
                 "IS NULL))) ON CONFLICT(host, name) DO UPDATE SET run=excluded.run, "
                 "outcome=excluded.outcome, error=excluded.error, started=excluded.started, "
                 "ended=excluded.ended, success=coalesce(excluded.success,verdicts.success), "
                 "failure=coalesce(excluded.failure,verdicts.failure)",
                 "t", id) < 0)
        return -1;
    return txn_rows(txn) > 0 ? refresh_verdict(txn, host) : 0;
}

int sql_store_verdicts(struct store *store, const char *host,
                       void (*visit)(void *context, const struct verdict_row *row), void *context)
{
    struct statement *find = store_statement(
        store, "SELECT name, run, outcome, error, started, ended, success, failure FROM verdicts "
               "WHERE host=? ORDER BY started DESC LIMIT " VERDICTS_READ);
    int step;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    while ((step = statement_step(find)) > 0) {
        struct verdict_row row = {.name = column_text(find, 0),
                                  .run = column_text(find, 1),
                                  .outcome = column_text(find, 2),
                                  .error = column_text(find, 3),
                                  .started_ms = column_int64(find, 4),
                                  .ended_ms = column_int64(find, 5),
                                  .success_ms = column_int64(find, 6),
                                  .failure_ms = column_int64(find, 7)};

        visit(context, &row);
    }
    return statement_end(find, step);
}

/* ---- the run that is shown ---- */

/* Finds the run that is shown for the host: one of the open runs, or else the newest. */
static int find_shown(struct txn *txn, const char *host, char id[RUN_ID_SIZE],
                      struct run_facts *shown)
{
    struct statement *find = txn_statement(
        txn, "SELECT * FROM (SELECT id, " FACT_COLUMNS
             " FROM runs r WHERE host=?1 AND ended IS NULL AND lost=0 AND deleted=0 ORDER BY "
             "started DESC, k DESC) a"
             " UNION ALL SELECT * FROM (SELECT id, " FACT_COLUMNS
             " FROM runs r WHERE host=?1 AND deleted=0 ORDER BY started DESC, k DESC LIMIT 1) b");
    int step;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    while ((step = statement_step(find)) > 0) {
        struct run_facts facts;

        read_facts(find, 1, &facts);
        if (state_of_run(&facts, txn->now_ms) == RUN_CRASHED &&
            sql_txn_run_verdict(txn, host, column_text(find, 0)) < 0)
            break;
        if (shown->exists && !run_outranks(&facts, shown, txn->now_ms))
            continue;
        *shown = facts;
        column_copy(find, 0, id, RUN_ID_SIZE);
    }
    return statement_end(find, step);
}

int sql_txn_host_facts(struct txn *txn, const char *host, struct host_facts *facts)
{
    struct statement *find =
        txn_statement(txn, "SELECT last_seen, agent_seen, pending_command FROM hosts WHERE id=?");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    if ((found = statement_first(find)) > 0) {
        facts->last_seen_ms = column_int64(find, 0);
        facts->agent_seen_ms = column_int64(find, 1);
        facts->command_waits = !column_null(find, 2);
    }
    return statement_close(find, found);
}

int sql_txn_host_refresh(struct txn *txn, const char *host)
{
    struct host_facts host_facts = {0};
    struct run_facts facts = {0};
    char run[RUN_ID_SIZE];
    int found = sql_txn_host_facts(txn, host, &host_facts);

    if (found <= 0)
        return found;
    if (find_shown(txn, host, run, &facts) < 0)
        return -1;
    return txn_exec(txn, "UPDATE hosts SET run=?2, changes_at=?3 WHERE id=?1", "tti", host,
                    facts.exists ? run : NULL, state_changes_at(&host_facts, &facts, txn->now_ms));
}

/* Whether the stored time of the host's last report is recent, and the stored time of the next
 * change by the clock is not after changes_at. 1 or 0; -1: the store failed. */
static int is_fresh(struct txn *txn, const char *host, const char *run, int64_t changes_at)
{
    struct statement *find =
        txn_statement(txn, "SELECT 1 FROM hosts WHERE id=?1 AND run=?2 AND last_seen>?3 AND "
                           "last_seen<=?4 AND changes_at<=?5");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "ttiii", host, run, txn->now_ms - STORE_KEEPALIVE_MS, txn->now_ms,
                   changes_at);
    found = statement_first(find);
    return statement_close(find, found);
}

int sql_txn_host_keepalive(struct txn *txn, const char *host, const char *run,
                           const struct run_facts *facts)
{
    /* While a run is busy, the host's own facts do not count. */
    int64_t changes_at = state_changes_at(&(struct host_facts){0}, facts, txn->now_ms);
    int fresh = is_fresh(txn, host, run, changes_at);

    if (fresh)
        return fresh;
    if (txn_exec(txn, "UPDATE hosts SET last_seen=?3, changes_at=?4 WHERE id=?1 AND run=?2", "ttii",
                 host, run, txn->now_ms, changes_at) < 0)
        return -1;
    return txn_rows(txn) > 0;
}

/* ---- what hosts and people store ---- */

/* Stores the fields of a registration that hardly ever change. 1 if one changed; 0; -1. */
static int update_fields(struct txn *txn, const char *host, const struct host_fields *fields)
{
    if (txn_exec(
            txn,
            "UPDATE hosts SET host_type=coalesce(?2,host_type), location=coalesce(?3,location), "
            "device_type=coalesce(?4,device_type), theme_color=coalesce(?5,theme_color), "
            "current_generation=coalesce(?6,current_generation), "
            "config_repo=coalesce(?7,config_repo), agent_version=coalesce(?8,agent_version), "
            "nixpkgs_version=coalesce(?9,nixpkgs_version), os_version=coalesce(?10,os_version), "
            "os_name=coalesce(?11,os_name), icon=coalesce(?12,icon), "
            "comment=coalesce(?13,comment), test_status=coalesce(?14,test_status), status='ok' "
            "WHERE id=?1 AND (host_type, location, device_type, theme_color, current_generation, "
            "config_repo, agent_version, nixpkgs_version, os_version, os_name, icon, comment, "
            "test_status, status) IS DISTINCT FROM (coalesce(?2,host_type), "
            "coalesce(?3,location), coalesce(?4,device_type), coalesce(?5,theme_color), "
            "coalesce(?6,current_generation), coalesce(?7,config_repo), "
            "coalesce(?8,agent_version), coalesce(?9,nixpkgs_version), coalesce(?10,os_version), "
            "coalesce(?11,os_name), coalesce(?12,icon), coalesce(?13,comment), "
            "coalesce(?14,test_status), 'ok')",
            "tttttttttttttt", host, fields->host_type, fields->location, fields->device_type,
            fields->theme_color, fields->current_generation, fields->config_repo,
            fields->agent_version, fields->nixpkgs_version, fields->os_version, fields->os_name,
            fields->icon, fields->comment, fields->test_status) < 0)
        return -1;
    return txn_rows(txn) > 0;
}

int sql_txn_host_register(struct txn *txn, const char *host, const struct host_fields *fields)
{
    bool fresh;
    int changed;

    if (txn_exec(txn,
                 "INSERT INTO hosts(id, hostname, criticality, status, host_type, location, "
                 "device_type) VALUES(?1,?1,coalesce(?2,'low'),'ok',NULL,NULL,NULL) ON "
                 "CONFLICT(id) DO NOTHING",
                 "tt", host, fields->criticality) < 0)
        return -1;
    fresh = txn_rows(txn) > 0;
    changed = update_fields(txn, host, fields);
    if (changed < 0 ||
        txn_exec(txn,
                 "UPDATE hosts SET poll_interval=?2, last_seen=?3, metrics=coalesce(?4,metrics), "
                 "metrics_updated_at=CASE WHEN ?4 IS NULL THEN metrics_updated_at ELSE ?3 END "
                 "WHERE id=?1",
                 "tiit", host, fields->poll_interval, txn->now_ms, fields->metrics) < 0)
        return -1;
    return fresh || changed;
}

int sql_txn_host_add(struct txn *txn, const char *host, const struct host_fields *fields)
{
    if (txn_exec(
            txn,
            "INSERT INTO hosts(id, hostname, host_type, location, device_type, "
            "theme_color) VALUES(?1,?1,?2,?3,?4,coalesce(?5,'#769ff0')) ON CONFLICT(id) DO NOTHING",
            "ttttt", host, fields->host_type, fields->location, fields->device_type,
            fields->theme_color) < 0)
        return -1;
    return txn_rows(txn) > 0;
}

int sql_txn_host_patch(struct txn *txn, const char *host, const struct host_fields *fields)
{
    return txn_exec(txn,
                    "UPDATE hosts SET comment=coalesce(?2,comment), "
                    "criticality=coalesce(?3,criticality), test_status=coalesce(?4,test_status), "
                    "last_audit=CASE WHEN ?5>0 THEN ?5 ELSE last_audit END, last_fix=CASE WHEN "
                    "?6>0 THEN ?6 ELSE last_fix END WHERE id=?1",
                    "ttttii", host, fields->comment, fields->criticality, fields->test_status,
                    fields->last_audit_ms, fields->last_fix_ms);
}

int sql_txn_host_status(struct txn *txn, const char *host, const char *status,
                        const struct host_fields *fields)
{
    return txn_exec(txn,
                    "UPDATE hosts SET status=?2, "
                    "current_generation=coalesce(?3,current_generation), "
                    "test_status=coalesce(?4,test_status), comment=coalesce(?5,comment), "
                    "last_seen=?6, last_switch=CASE WHEN ?2='ok' THEN ?6 ELSE last_switch END, "
                    "test_running=0 WHERE id=?1",
                    "ttttti", host, status, fields->current_generation, fields->test_status,
                    fields->comment, txn->now_ms);
}

int sql_txn_host_tests(struct txn *txn, const char *host, const struct host_tests *tests)
{
    if (txn_exec(txn,
                 "UPDATE hosts SET test_running=?2, test_current=?3, test_total=?4, "
                 "test_passed_count=?5, last_seen=?6 WHERE id=?1",
                 "tiiiii", host, (int64_t)tests->running, tests->current, tests->total,
                 tests->passed, txn->now_ms) < 0)
        return -1;
    if (tests->running)
        return 0;
    return txn_exec(txn,
                    "UPDATE hosts SET test_result=?2, test_status=?3, "
                    "comment=coalesce(?4,comment), last_audit=?5 WHERE id=?1",
                    "tttti", host, tests->result, tests->summary, tests->comment, txn->now_ms);
}

int sql_txn_host_remove(struct txn *txn, const char *host)
{
    if (txn_exec(txn, "DELETE FROM hosts WHERE id=?", "t", host) < 0)
        return -1;
    if (txn_rows(txn) == 0)
        return 0;
    if (txn_exec(txn,
                 "DELETE FROM chunks WHERE run IN (SELECT k FROM runs WHERE host=? AND deleted=0)",
                 "t", host) < 0 ||
        txn_exec(txn,
                 "DELETE FROM derivations WHERE run IN (SELECT k FROM runs WHERE host=? AND "
                 "deleted=0)",
                 "t", host) < 0 ||
        txn_exec(txn,
                 "DELETE FROM run_changes WHERE run IN (SELECT k FROM runs WHERE host=? AND "
                 "deleted=0)",
                 "t", host) < 0 ||
        txn_exec(txn,
                 "DELETE FROM build_logs WHERE run IN (SELECT k FROM runs WHERE host=? AND "
                 "deleted=0)",
                 "t", host) < 0 ||
        txn_exec(txn,
                 "UPDATE runs SET deleted=1, lines=0, stored=0, builds_stored=0 WHERE host=? AND "
                 "deleted=0",
                 "t", host) < 0 ||
        txn_exec(txn, "DELETE FROM history WHERE host=?", "t", host) < 0 ||
        txn_exec(txn, "DELETE FROM command_log WHERE host=?", "t", host) < 0 ||
        txn_exec(txn, "DELETE FROM durations WHERE host=?", "t", host) < 0 ||
        txn_exec(txn, "DELETE FROM verdicts WHERE host=?", "t", host) < 0)
        return -1;
    return 1;
}

/* ---- tokens ---- */

#define SELECT_TOKEN "SELECT agent_token_hash FROM hosts WHERE id=?"

static int read_token(struct statement *find, const char *host, char hash[STORE_HASH_SIZE])
{
    int found;

    hash[0] = '\0';
    if (!find)
        return -1;
    statement_bind(find, "t", host);
    if ((found = statement_first(find)) > 0)
        column_copy(find, 0, hash, STORE_HASH_SIZE);
    return statement_close(find, found);
}

int sql_txn_host_token(struct txn *txn, const char *host, char hash[STORE_HASH_SIZE])
{
    return read_token(txn_statement(txn, SELECT_TOKEN), host, hash);
}

int sql_store_host_token(struct store *store, const char *host, char hash[STORE_HASH_SIZE])
{
    int found = read_token(store_statement(store, SELECT_TOKEN), host, hash);

    return found > 0 ? hash[0] != '\0' : found;
}

int sql_store_token_owner(struct store *store, const char *hash, char host[HOST_ID_SIZE])
{
    struct statement *find =
        store_statement(store, "SELECT id FROM hosts WHERE agent_token_hash=?");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "t", hash);
    if ((found = statement_first(find)) > 0)
        column_copy(find, 0, host, HOST_ID_SIZE);
    return statement_close(find, found);
}

int sql_txn_host_set_token(struct txn *txn, const char *host, const char *hash, bool make)
{
    int done =
        make ? txn_exec(txn,
                        "INSERT INTO hosts(id, hostname, agent_token_hash) "
                        "VALUES(?1,?1,?2) ON CONFLICT(id) DO UPDATE SET "
                        "agent_token_hash=?2",
                        "tt", host, hash)
             : txn_exec(txn, "UPDATE hosts SET agent_token_hash=?2 WHERE id=?1", "tt", host, hash);

    return done < 0 ? -1 : txn_rows(txn) > 0;
}

/* ---- reading ---- */

#define SELECT_HOSTS                                                                             \
    "SELECT h.id, h.hostname, h.host_type, h.location, h.device_type, h.theme_color, "           \
    "h.criticality, h.icon, h.current_generation, h.status, h.pending_command, h.comment, "      \
    "h.test_status, h.config_repo, h.test_result, h.metrics, h.agent_version, "                  \
    "h.nixpkgs_version, h.os_version, h.os_name, h.test_running, h.test_current, h.test_total, " \
    "h.test_passed_count, h.poll_interval, h.last_seen, h.last_switch, h.last_audit, "           \
    "h.last_fix, h.command_queued_at, h.metrics_updated_at, h.agent_seen, v.name, v.run, "       \
    "v.outcome, v.error, v.started, v.ended, " RUN_COLUMNS                                       \
    " FROM hosts h LEFT JOIN runs r ON r.id=h.run AND r.deleted=0"                               \
    " LEFT JOIN verdicts v ON v.host=h.id AND v.name=h.verdict"
#define HOST_COLUMNS 38 /* before RUN_COLUMNS */

static void read_host(struct statement *find, struct host_row *row)
{
    int c = 0;

    row->id = column_text(find, c++);
    row->hostname = column_text(find, c++);
    row->host_type = column_text(find, c++);
    row->location = column_text(find, c++);
    row->device_type = column_text(find, c++);
    row->theme_color = column_text(find, c++);
    row->criticality = column_text(find, c++);
    row->icon = column_text(find, c++);
    row->current_generation = column_text(find, c++);
    row->status = column_text(find, c++);
    row->pending_command = column_text(find, c++);
    row->comment = column_text(find, c++);
    row->test_status = column_text(find, c++);
    row->config_repo = column_text(find, c++);
    row->test_result = column_text(find, c++);
    row->metrics = column_text(find, c++);
    row->agent_version = column_text(find, c++);
    row->nixpkgs_version = column_text(find, c++);
    row->os_version = column_text(find, c++);
    row->os_name = column_text(find, c++);
    row->test_running = column_int64(find, c++);
    row->test_current = column_int64(find, c++);
    row->test_total = column_int64(find, c++);
    row->test_passed_count = column_int64(find, c++);
    row->poll_interval = column_int64(find, c++);
    row->last_seen_ms = column_int64(find, c++);
    row->last_switch_ms = column_int64(find, c++);
    row->last_audit_ms = column_int64(find, c++);
    row->last_fix_ms = column_int64(find, c++);
    row->command_queued_ms = column_int64(find, c++);
    row->metrics_updated_ms = column_int64(find, c++);
    row->agent_seen_ms = column_int64(find, c++);
    row->verdict.name = column_text(find, c++);
    row->verdict.run = column_text(find, c++);
    row->verdict.outcome = column_text(find, c++);
    row->verdict.error = column_text(find, c++);
    row->verdict.started_ms = column_int64(find, c++);
    row->verdict.ended_ms = column_int64(find, c);
    read_run(find, HOST_COLUMNS, &row->run);
}

int sql_store_hosts(struct store *store, void (*visit)(void *context, const struct host_row *row),
                    void *context)
{
    struct statement *find = store_statement_many(store, SELECT_HOSTS " ORDER BY h.hostname");
    int step;

    if (!find)
        return -1;
    while ((step = statement_step(find)) > 0) {
        struct host_row row;

        read_host(find, &row);
        visit(context, &row);
    }
    return statement_end(find, step);
}

int sql_store_host(struct store *store, const char *host,
                   void (*visit)(void *context, const struct host_row *row), void *context)
{
    struct statement *find = store_statement(store, SELECT_HOSTS " WHERE h.id=?");
    struct host_row row;
    int found;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    if ((found = statement_first(find)) > 0) {
        read_host(find, &row);
        visit(context, &row);
    }
    return statement_close(find, found);
}

int sql_store_hosts_due(struct store *store, int64_t after_ms, int64_t until_ms,
                        void (*visit)(void *context, const char *host, const char *run),
                        void *context)
{
    struct statement *find =
        store_statement(store, "SELECT id, run FROM hosts WHERE changes_at>?1 AND changes_at<=?2");
    int step;

    if (!find)
        return -1;
    statement_bind(find, "ii", after_ms, until_ms);
    while ((step = statement_step(find)) > 0)
        visit(context, column_text(find, 0), column_text(find, 1));
    return statement_end(find, step);
}
