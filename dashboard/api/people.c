/* What a person's page asks for (v1): hosts, commands, tokens, the log of commands. Sign-in:
 * login.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/api/clean.h"
#include "dashboard/auth/auth.h"
#include "dashboard/store/sqlite/commands.h"
#include "dashboard/live/hub.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/server/server.h"
#include "dashboard/fleet/target.h"
#include "dashboard/fleet/validate.h"

static json_object *read_body(struct request *request)
{
    struct json_problem problem;
    json_object *object = request_object(request, &problem);

    if (!object && !problem.no_memory)
        answer_detail(request, 422, "the body is not JSON: byte %zu: %s", problem.at,
                      problem.reason);
    if (!object || clean_or_answer(request, object, 422))
        return object;
    json_object_put(object);
    return NULL;
}

/* ---- commands ---- */

static const char *doing(const char *command)
{
    static const char *const words[][2] = {
        {"pull", "Pulling..."}, {"switch", "Switching..."}, {"pull-switch", "Pull + Switch..."},
        {"test", "Testing..."}, {"update", "Updating..."},  {"restart", "Restarting agent..."},
        {"stop", "Stopping..."}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(command, words[i][0]) == 0)
            return words[i][1];
    return command;
}

/* A stop clears the slot and asks the run to end that the host is told of by, if it is open; it is
 * not handed out. */
static bool apply_stop(struct txn *txn, const char *host)
{
    return fleet_run(txn,
                     "UPDATE hosts SET pending_command=NULL, command_queued_at=NULL, "
                     "test_running=0, status='ok' WHERE id=?",
                     "t", host) &&
           fleet_run(txn,
                     "UPDATE runs SET stop=1 WHERE id=(SELECT run FROM hosts WHERE id=?) AND "
                     "ended IS NULL AND lost=0",
                     "t", host);
}

static bool apply_queue(struct txn *txn, const char *host, const char *command)
{
    return fleet_run(txn, "UPDATE hosts SET pending_command=?2, command_queued_at=?3 WHERE id=?1",
                     "tti", host, command, txn->now_ms) &&
           (strcmp(command, "test") != 0 ||
            fleet_run(txn,
                      "UPDATE hosts SET test_running=1, test_current=0, test_total=0, "
                      "test_passed_count=0 WHERE id=?",
                      "t", host));
}

static enum job_result apply_command(struct txn *txn, struct request *request, void *context)
{
    const char *command = body_text(context, "command"), *host = request->host;
    sqlite3_stmt *find = txn_statement(txn, "SELECT last_seen, run FROM hosts WHERE id=?");
    struct text out = {0};
    int64_t last_seen;
    bool known;

    if (!find)
        return JOB_FAILED;
    statement_bind(find, "t", host);
    known = sqlite3_step(find) == SQLITE_ROW;
    last_seen = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    if (!known) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (!last_seen) {
        answer_detail(request, 409, "Host has never been seen online");
        return JOB_DONE;
    }
    if (txn->now_ms - last_seen > STATE_OFFLINE_MS) {
        answer_detail(request, 409, "Host is offline (last seen %lld minutes ago)",
                      (long long)(txn->now_ms - last_seen) / 60000);
        return JOB_DONE;
    }
    if (!(strcmp(command, "stop") == 0 ? apply_stop(txn, host) : apply_queue(txn, host, command)) ||
        !fleet_history(txn, host, strcmp(command, "test") == 0 ? "✦" : "⧖", doing(command), NULL))
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
    text_puts(&out, "{");
    text_key_json(&out, "status", "queued");
    text_key_json(&out, "command", command);
    text_puts(&out, "}");
    answer_text(request, &out);
    return JOB_DONE;
}

void post_command(struct request *request)
{
    json_object *body = read_body(request),
                *problem = body ? validate_body(body, command_fields) : NULL;

    if (!body)
        return;
    if (problem) {
        answer_puts(request, 422, json_object_to_json_string_ext(problem, JSON_C_TO_STRING_PLAIN));
        json_object_put(problem);
        json_object_put(body);
        return;
    }
    request_submit(request, apply_command, body, body_free);
}

/* ---- hosts ---- */

static enum job_result apply_token(struct txn *txn, struct request *request, void *context)
{
    const char *secret = request->server->settings.agent_token_hash_secret;
    char token[TOKEN_SIZE], hash[TOKEN_HASH_SIZE];
    struct text out = {0};

    (void)context;
    if (!secret) {
        answer_detail(request, 409, "NIXFLEET_AGENT_TOKEN_HASH_SECRET is not set");
        return JOB_DONE;
    }
    if (token_make(token) < 0 || token_hash(secret, token, hash) < 0 ||
        !fleet_run(txn, "UPDATE hosts SET agent_token_hash=?2 WHERE id=?1", "tt", request->host,
                   hash))
        return JOB_FAILED;
    if (sqlite3_changes(txn->db) == 0) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    text_puts(&out, "{");
    text_key_json(&out, "status", "ok");
    text_key_json(&out, "host_id", request->host);
    text_key_json(&out, "agent_token", token);
    text_puts(&out, "}");
    answer_text(request, &out);
    return JOB_DONE;
}

void post_agent_token(struct request *request)
{
    request_submit(request, apply_token, NULL, NULL);
}

static enum job_result apply_add(struct txn *txn, struct request *request, void *context)
{
    struct text out = {0};

    if (!fleet_run(txn,
                   "INSERT OR IGNORE INTO hosts(id, hostname, host_type, location, device_type, "
                   "theme_color) VALUES(?1,?1,coalesce(?2,'nixos'),"
                   "coalesce(?3,'home'),coalesce(?4,'server'),coalesce(?5,'#769ff0'))",
                   "ttttt", request->host, body_text(context, "host_type"),
                   body_text(context, "location"), body_text(context, "device_type"),
                   body_text(context, "theme_color")))
        return JOB_FAILED;
    if (sqlite3_changes(txn->db) == 0) {
        answer_detail(request, 409, "Host already exists");
        return JOB_DONE;
    }
    txn_changed(txn, request->host, NULL);
    text_puts(&out, "{");
    text_key_json(&out, "status", "ok");
    text_key_json(&out, "host_id", request->host);
    text_key_json(&out, "message", "Host added");
    text_puts(&out, "}");
    answer_text(request, &out);
    return JOB_DONE;
}

void post_hosts(struct request *request)
{
    json_object *body = read_body(request);
    const char *name = body ? body_text(body, "hostname") : NULL;

    if (!body)
        return;
    if (!name || !host_id_normalize(name, request->host)) {
        answer_detail(request, 400, "Invalid hostname");
        json_object_put(body);
        return;
    }
    request_submit(request, apply_add, body, body_free);
}

static enum job_result apply_patch(struct txn *txn, struct request *request, void *context)
{
    const char *audit = body_text(context, "last_audit"), *fix = body_text(context, "last_fix");

    if (!fleet_run(txn,
                   "UPDATE hosts SET comment=coalesce(?2,comment), "
                   "criticality=coalesce(?3,criticality), test_status=coalesce(?4,test_status),"
                   " last_audit=CASE WHEN ?5>0 THEN ?5 ELSE last_audit END, last_fix=CASE WHEN "
                   "?6>0 THEN ?6 ELSE last_fix END WHERE id=?1",
                   "ttttii", request->host, body_text(context, "comment"),
                   body_text(context, "criticality"), body_text(context, "test_status"),
                   audit ? request_time(audit) : (int64_t)0, fix ? request_time(fix) : (int64_t)0))
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
    answer_puts(request, 200, "{\"status\":\"updated\"}");
    return JOB_DONE;
}

void patch_host(struct request *request)
{
    json_object *body = read_body(request);

    if (body)
        request_submit(request, apply_patch, body, body_free);
}

static enum job_result apply_remove(struct txn *txn, struct request *request, void *context)
{
    struct text out = {0};

    (void)context;
    if (!fleet_run(txn, "DELETE FROM hosts WHERE id=?", "t", request->host))
        return JOB_FAILED;
    if (sqlite3_changes(txn->db) == 0) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (!fleet_run(
            txn, "DELETE FROM chunks WHERE run IN (SELECT k FROM runs WHERE host=? AND deleted=0)",
            "t", request->host) ||
        !fleet_run(txn, "UPDATE runs SET deleted=1, lines=0, stored=0 WHERE host=? AND deleted=0",
                   "t", request->host) ||
        !fleet_run(txn, "DELETE FROM history WHERE host=?", "t", request->host) ||
        !fleet_run(txn, "DELETE FROM command_log WHERE host=?", "t", request->host))
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
    text_puts(&out, "{");
    text_key_json(&out, "status", "deleted");
    text_key_json(&out, "host_id", request->host);
    text_puts(&out, "}");
    answer_text(request, &out);
    return JOB_DONE;
}

void delete_host(struct request *request)
{
    request_submit(request, apply_remove, NULL, NULL);
}

/* ---- the log of commands ---- */

void get_command_logs(struct request *request)
{
    sqlite3_stmt *find = store_prepare(
        request->server->store,
        "SELECT id, host, command, status, output, created, completed FROM command_log"
        " WHERE host=? ORDER BY id DESC LIMIT ?");
    struct text out = {0};
    bool first = true;

    if (!find) {
        answer_detail(request, 503, "The store cannot be read");
        return;
    }
    statement_bind(find, "ti", request->host, request_number(request, "limit", 1, 100, 20));
    text_puts(&out, "{\"logs\":[");
    while (sqlite3_step(find) == SQLITE_ROW) {
        text_puts(&out, first ? "{" : ",{");
        first = false;
        text_key_int(&out, "id", sqlite3_column_int64(find, 0));
        text_key_json(&out, "host_id", column_text(find, 1));
        text_key_json(&out, "command", column_text(find, 2));
        text_key_json(&out, "status", column_text(find, 3));
        text_key_json(&out, "output", column_text(find, 4));
        text_key_v1_time(&out, "created_at", sqlite3_column_int64(find, 5));
        text_key_v1_time(&out, "completed_at", sqlite3_column_int64(find, 6));
        text_puts(&out, "}");
    }
    sqlite3_finalize(find);
    text_puts(&out, "]}");
    answer_text(request, &out);
}

static void add_entry(struct text *out, sqlite3_stmt *row, bool json, bool first)
{
    char time[RFC3339_SIZE];
    const char *output = column_text(row, 3);

    format_rfc3339(sqlite3_column_int64(row, 0), time);
    if (json) {
        text_printf(out, "%s{\"timestamp\":\"%.23s000Z\"", first ? "" : ",", time);
        text_key_json(out, "icon", column_text(row, 1));
        text_key_json(out, "message", column_text(row, 2));
        text_key_json(out, "output", output);
        text_puts(out, "}");
        return;
    }
    text_printf(out, "[%.10s %.8s] ", time, time + 11);
    text_puts(out, column_text(row, 2));
    text_puts(out, "\n");
    while (output && *output) {
        size_t length = strcspn(output, "\n");

        text_puts(out, "    ");
        text_add(out, output, length);
        text_puts(out, "\n");
        output += length + (output[length] == '\n');
    }
}

void get_logs_download(struct request *request)
{
    const char *format = request_query(request, "format");
    bool json = format && strcmp(format, "json") == 0, first = true;
    sqlite3_stmt *find = store_prepare(
        request->server->store,
        "SELECT at, icon, message, output FROM history WHERE host=? ORDER BY id DESC");
    char now[RFC3339_SIZE];
    struct text out = {0};

    if (!find) {
        answer_detail(request, 503, "The store cannot be read");
        return;
    }
    format_rfc3339(wall_ms(), now);
    text_printf(&out,
                json ? "{\"host\":\"%s\",\"downloaded\":\"%s\",\"logs\":["
                     : "# Status Log for %s\n# Downloaded: %s\n\n",
                request->host, now);
    statement_bind(find, "t", request->host);
    while (sqlite3_step(find) == SQLITE_ROW) {
        add_entry(&out, find, json, first);
        first = false;
    }
    sqlite3_finalize(find);
    if (first) {
        text_free(&out);
        answer_detail(request, 404, "No logs found");
        return;
    }
    text_puts(&out, json ? "]}" : "");
    answer_text(request, &out);
    request->answer.type = json ? "application/json" : "text/plain; charset=utf-8";
    snprintf(request->answer.disposition, sizeof request->answer.disposition,
             "attachment; filename=\"%s-logs-%.10s.%s\"", request->host, now,
             json ? "json" : "txt");
}

void get_api_metrics(struct request *request)
{
    uint64_t waiting, commits, jobs;
    struct text out = {0};

    store_counts(request->server->store, &waiting, &commits, &jobs);
    text_puts(&out, "{");
    text_key_int(&out, "sse_clients", (int64_t)live_count(request->server->live));
    text_key_int(&out, "commits", (int64_t)commits);
    text_key_int(&out, "requests", (int64_t)jobs);
    text_puts(&out, "}");
    answer_text(request, &out);
}

static void answer_target(struct request *request)
{
    struct text out = {0};

    target_v1_json(request->server->target, &out);
    answer_text(request, &out);
}

static void target_asked(void *context)
{
    answer_target(context);
    request_resume(context);
}

void post_nixcfg_refresh(struct request *request)
{
    if (!request->server->target) {
        answer_target(request);
        return;
    }
    request_suspend(request); /* before: it may be called back before we return */
    if (target_refresh(request->server->target, target_asked, request))
        return;
    answer_detail(request, 503, "Too many ask for the target commit");
    request->answer.retry_after_s = 5;
    request_resume(request);
}
