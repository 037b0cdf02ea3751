/* The calls of a person's page (v1): hosts, commands, tokens, the log of commands. Sign-in:
 * login.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "common/rfc3339.h"
#include "dashboard/api/api.h"
#include "dashboard/api/clean.h"
#include "dashboard/auth/auth.h"
#include "dashboard/live/hub.h"
#include "dashboard/fleet/state.h"
#include "dashboard/server/server.h"
#include "dashboard/view/host.h"
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

static enum job_result apply_command(struct txn *txn, struct request *request, void *context)
{
    const char *command = body_text(context, "command"), *host = request->host;
    bool stops = strcmp(command, "stop") == 0;
    char message[STORE_COMMAND_SIZE + sizeof request->address + 32];
    struct history_row line = {.icon = "⧖", .message = message};
    struct text out = {0};
    struct host_facts facts = {0};
    int known = txn_host_facts(txn, host, &facts);

    if (known < 0)
        return JOB_FAILED;
    if (!known) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (!facts.last_seen_ms) {
        answer_detail(request, 409, "Host has never been seen online");
        return JOB_DONE;
    }
    if (!stops && !facts.agent_seen_ms) {
        answer_detail(request, 409, "Host has no agent that would take the command");
        return JOB_DONE;
    }
    if (txn->now_ms - facts.last_seen_ms > STATE_OFFLINE_MS) {
        answer_detail(request, 409, "Host is offline (last seen %lld minutes ago)",
                      (long long)(txn->now_ms - facts.last_seen_ms) / 60000);
        return JOB_DONE;
    }
    snprintf(message, sizeof message, "%s %s, from %s", command, stops ? "asked for" : "queued",
             request->address);
    if ((stops ? txn_command_stop(txn, host, request->address)
               : txn_command_queue(txn, host, command)) < 0 ||
        txn_history_add(txn, host, &line) < 0)
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
    json_object *body = read_body(request);

    if (!body)
        return;
    if (validate_or_answer(request, body, command_fields))
        request_submit(request, apply_command, body, body_free);
    else
        json_object_put(body);
}

/* ---- hosts ---- */

/* Who did it, from where: in the host's history. */
static int note(struct txn *txn, const struct request *request, const char *what)
{
    char message[sizeof request->address + 64];
    struct history_row line = {.icon = "✓", .message = message};

    snprintf(message, sizeof message, "%s, from %s", what, request->address);
    return txn_history_add(txn, request->host, &line);
}

static enum job_result apply_token(struct txn *txn, struct request *request, void *context)
{
    const char *secret = request->settings->agent_token_hash_secret;
    char token[TOKEN_SIZE], hash[TOKEN_HASH_SIZE];
    struct text out = {0};
    int stored;

    (void)context;
    if (!secret) {
        answer_detail(request, 409, "NIXFLEET_AGENT_TOKEN_HASH_SECRET is not set");
        return JOB_DONE;
    }
    if (token_make(token) < 0 || token_hash(secret, token, hash) < 0 ||
        (stored = txn_host_set_token(txn, request->host, hash, false)) < 0)
        return JOB_FAILED;
    if (!stored) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (note(txn, request, "new token made") < 0)
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
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
    struct host_fields fields = {.host_type = body_text(context, "host_type"),
                                 .location = body_text(context, "location"),
                                 .device_type = body_text(context, "device_type"),
                                 .theme_color = body_text(context, "theme_color")};
    struct text out = {0};
    int added = txn_host_add(txn, request->host, &fields);

    if (added < 0)
        return JOB_FAILED;
    if (!added) {
        answer_detail(request, 409, "Host already exists");
        return JOB_DONE;
    }
    if (note(txn, request, "host added") < 0)
        return JOB_FAILED;
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
    struct host_fields fields = {.comment = body_text(context, "comment"),
                                 .criticality = body_text(context, "criticality"),
                                 .test_status = body_text(context, "test_status")};
    struct host_facts facts;
    int known = txn_host_facts(txn, request->host, &facts);

    if (known == 0) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (audit)
        rfc3339_parse(audit, &fields.last_audit_ms);
    if (fix)
        rfc3339_parse(fix, &fields.last_fix_ms);
    if (known < 0 || txn_host_patch(txn, request->host, &fields) < 0)
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
    int removed = txn_host_remove(txn, request->host);

    (void)context;
    if (removed < 0)
        return JOB_FAILED;
    if (!removed) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
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

static void add_command(void *context, const struct command_row *row)
{
    struct text *out = context;

    text_comma(out);
    text_puts(out, "{");
    text_key_int(out, "id", row->id);
    text_key_json(out, "host_id", row->host);
    text_key_json(out, "command", row->command);
    text_key_json(out, "status", row->status);
    text_key_json(out, "output", row->output);
    text_key_v1_time(out, "created_at", row->created_ms);
    text_key_v1_time(out, "completed_at", row->completed_ms);
    text_puts(out, "}");
}

void get_command_logs(struct request *request)
{
    struct text out = {0};

    text_puts(&out, "{\"logs\":[");
    if (store_commands(request->server->store, request->host,
                       request_number(request, "limit", 1, 100, 20), add_command, &out) < 0) {
        text_free(&out);
        answer_detail(request, 503, "The store cannot be read");
        return;
    }
    text_puts(&out, "]}");
    answer_text(request, &out);
}

static void add_text_entry(void *context, const struct history_row *row)
{
    const char *output = row->output;
    struct text *out = context;
    char time[RFC3339_SIZE];

    rfc3339_format(row->at_ms, time);
    text_printf(out, "[%.10s %.8s] ", time, time + 11);
    text_puts(out, row->message);
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
    bool json = format && strcmp(format, "json") == 0;
    char now[RFC3339_SIZE];
    struct text out = {0};
    size_t start;
    int read;

    rfc3339_format(store_now_ms(request->server->store), now);
    text_printf(&out,
                json ? "{\"host\":\"%s\",\"downloaded\":\"%s\",\"logs\":["
                     : "# Status Log for %s\n# Downloaded: %s\n\n",
                request->host, now);
    start = out.size;
    read = store_history(request->server->store, request->host, 0, true,
                         json ? history_line_json : add_text_entry, &out);
    if (read < 0 || (out.size == start && !out.failed)) {
        text_free(&out);
        answer_detail(request, read < 0 ? 503 : 404,
                      read < 0 ? "The store cannot be read" : "No logs found");
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
    struct store_counts counts;
    struct text out = {0};

    store_counts(request->server->store, &counts);
    text_puts(&out, "{");
    text_key_int(&out, "sse_clients", (int64_t)live_count(request->server->live));
    text_key_int(&out, "commits", (int64_t)counts.commits);
    text_key_int(&out, "requests", (int64_t)counts.jobs);
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
    request_suspend(request); /* first, because done may be called before target_refresh returns */
    if (target_refresh(request->server->target, target_asked, request))
        return;
    answer_detail(request, 503, "Too many requests for the target commit");
    request->answer.retry_after_s = 5;
    request_resume(request);
}
