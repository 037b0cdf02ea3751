/* The calls of the bash agent (v1): register, poll, status, test-progress. */
#include <stdio.h>
#include <string.h>

#include "dashboard/api/api.h"
#include "dashboard/api/clean.h"
#include "dashboard/auth/auth.h"
#include "dashboard/fleet/state.h"
#include "common/utf8.h"
#include "dashboard/server/server.h"
#include "dashboard/fleet/validate.h"

static json_object *read_checked(struct request *request, const struct field_rule *rules)
{
    struct json_problem unread;
    json_object *object = request_object(request, &unread);

    if (!object && unread.no_memory)
        return NULL;
    if (!object) {
        answer_puts(request, 422,
                    "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"Invalid "
                    "JSON\",\"type\":\"value_error.jsondecode\"}]}");
        return NULL;
    }
    if (!validate_or_answer(request, object, rules) || !clean_or_answer(request, object, 422)) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

/* At the first authorised call of a host without a token of its own: makes one. token: "" if none
 * was made. */
static int provision(struct txn *txn, const struct request *request, char token[TOKEN_SIZE])
{
    const struct dashboard_settings *settings = request->settings;
    char hash[TOKEN_HASH_SIZE];
    int known = txn_host_token(txn, request->host, hash);

    token[0] = '\0';
    if (known <= 0)
        return known;
    if (hash[0] || !settings->auto_provision || !settings->agent_token_hash_secret)
        return 0;
    if (token_make(token) < 0 || token_hash(settings->agent_token_hash_secret, token, hash) < 0)
        return -1;
    return txn_host_set_token(txn, request->host, hash, false) < 0 ? -1 : 0;
}

static void add_handout(struct text *out, const char *command, const char *token)
{
    text_key_json(out, "command", *command ? command : NULL);
    if (*token)
        text_key_json(out, "agent_token", token);
    text_puts(out, "}");
}

/* 0, or -1 when out of memory. */
static int read_fields(json_object *body, struct host_fields *fields)
{
    json_object *metrics = NULL;
    const char *why = NULL;

    *fields = (struct host_fields){.host_type = body_text(body, "host_type"),
                                   .location = body_text(body, "location"),
                                   .device_type = body_text(body, "device_type"),
                                   .theme_color = body_text(body, "theme_color"),
                                   .criticality = body_text(body, "criticality"),
                                   .current_generation = body_text(body, "current_generation"),
                                   .config_repo = body_text(body, "config_repo"),
                                   .agent_version = body_text(body, "agent_version"),
                                   .nixpkgs_version = body_text(body, "nixpkgs_version"),
                                   .os_version = body_text(body, "os_version"),
                                   .os_name = body_text(body, "os_name"),
                                   .icon = body_text(body, "icon"),
                                   .comment = body_text(body, "comment"),
                                   .test_status = body_text(body, "test_status"),
                                   .poll_interval = body_number(body, "poll_interval", 30)};
    if (!field_typed(body, "metrics", json_type_object, &metrics, &why))
        return 0;
    fields->metrics = json_object_to_json_string_ext(metrics, JSON_C_TO_STRING_SPACED);
    return fields->metrics ? 0 : -1;
}

/* Whether a call of the agent changes nothing that a page tells of the host, other than when it was
 * seen: the agent is reachable, and no command waits. 1; 0; -1: the store failed. */
static int is_quiet(struct txn *txn, const char *host)
{
    struct host_facts facts;
    int found = txn_host_facts(txn, host, &facts);

    return found <= 0
               ? found
               : facts.agent_seen_ms && !facts.command_waits && host_reachable(&facts, txn->now_ms);
}

static enum job_result apply_register(struct txn *txn, struct request *request, void *context)
{
    const char *host = request->host;
    char command[STORE_COMMAND_SIZE], token[TOKEN_SIZE];
    struct host_fields fields;
    struct text out = {0};
    int quiet = is_quiet(txn, host), changed;

    if (quiet < 0 || read_fields(context, &fields) < 0 ||
        (changed = txn_host_register(txn, host, &fields)) < 0 ||
        txn_host_agent_seen(txn, host) < 0 || txn_runs_suspect(txn, host, NULL) < 0 ||
        txn_command_take(txn, host, command) < 0 || provision(txn, request, token) < 0 ||
        txn_host_refresh(txn, host) < 0)
        return JOB_FAILED;
    (quiet && !changed ? txn_progressed : txn_changed)(txn, host, NULL);
    text_puts(&out, "{");
    text_key_json(&out, "status", "registered");
    text_key_json(&out, "host_id", host);
    add_handout(&out, command, token);
    answer_text(request, &out);
    return JOB_DONE;
}

void post_register(struct request *request)
{
    json_object *body = read_checked(request, register_fields);

    if (body)
        request_submit(request, apply_register, body, body_free);
}

static enum job_result apply_poll(struct txn *txn, struct request *request, void *context)
{
    char command[STORE_COMMAND_SIZE], token[TOKEN_SIZE];
    struct text out = {0};
    int quiet = is_quiet(txn, request->host);

    (void)context;
    if (quiet < 0 || txn_host_seen(txn, request->host) < 0 ||
        txn_host_agent_seen(txn, request->host) < 0 ||
        txn_runs_suspect(txn, request->host, NULL) < 0 ||
        txn_command_take(txn, request->host, command) < 0 || provision(txn, request, token) < 0 ||
        txn_host_refresh(txn, request->host) < 0)
        return JOB_FAILED;
    (quiet ? txn_progressed : txn_changed)(txn, request->host, NULL);
    text_puts(&out, "{");
    add_handout(&out, command, token);
    answer_text(request, &out);
    return JOB_DONE;
}

void get_poll(struct request *request)
{
    request_submit(request, apply_poll, NULL, NULL);
}

#define DERIVED_MAX 100 /* bytes, as in v1 */

/* The comment for a status without one: the first line of the error, cut between two characters.
 * NULL: the stored comment stays. */
static const char *derive_comment(const char *status, const char *output,
                                  char comment[DERIVED_MAX + 1])
{
    if (strcmp(status, "error") == 0 && output && *output) {
        size_t size = utf8_cut(output, strcspn(output, "\n"), DERIVED_MAX);

        memcpy(comment, output, size);
        comment[size] = '\0';
        return comment;
    }
    if (output && strstr(output, "Already up to date"))
        return "Already up to date";
    if (output && strstr(output, "Already up-to-date"))
        return "Already up-to-date";
    return output && strstr(output, "Updating") ? "Pull successful" : NULL;
}

/* The end of a job that has stored a report of the host. */
static enum job_result host_updated(struct txn *txn, struct request *request)
{
    if (txn_host_refresh(txn, request->host) < 0)
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
    answer_puts(request, 200, "{\"status\":\"updated\"}");
    return JOB_DONE;
}

static enum job_result apply_status(struct txn *txn, struct request *request, void *context)
{
    json_object *body = context;
    const char *status = body_text(body, "status"), *output = body_text(body, "output"),
               *host = request->host;
    bool ok = strcmp(status, "ok") == 0;
    char derived[DERIVED_MAX + 1];
    struct host_fields fields;
    struct history_row line;

    if (read_fields(body, &fields) < 0)
        return JOB_FAILED;
    if (!fields.comment)
        fields.comment = derive_comment(status, output, derived);
    line = (struct history_row){.icon = ok ? "✓" : "✗",
                                .message = fields.comment ? fields.comment
                                           : ok           ? "Command completed"
                                                          : "Command failed",
                                .output = output};
    if (txn_host_status(txn, host, status, &fields) < 0 || txn_host_agent_seen(txn, host) < 0 ||
        txn_command_finish(txn, host, status, output, fields.comment) < 0 ||
        txn_history_add(txn, host, &line) < 0)
        return JOB_FAILED;
    return host_updated(txn, request);
}

void post_status(struct request *request)
{
    json_object *body = read_checked(request, status_fields);

    if (body)
        request_submit(request, apply_status, body, body_free);
}

static void read_tests(json_object *body, struct host_tests *tests)
{
    json_object *flag = NULL;
    const char *why = NULL;

    *tests = (struct host_tests){
        .running = !field_typed(body, "running", json_type_boolean, &flag, &why) ||
                   json_object_get_boolean(flag),
        .current = body_number(body, "current", 0),
        .total = body_number(body, "total", 0),
        .passed = body_number(body, "passed", 0),
        .result = body_text(body, "result"),
        .comment = body_text(body, "comment")};
}

/* Adds a line to the history for the start, each fifth test, and the end. */
static int add_test_line(struct txn *txn, const char *host, const struct host_tests *tests)
{
    char message[64];
    struct history_row line = {.message = message};

    if (tests->running && tests->current > 1 && tests->current % 5 != 0)
        return 0;
    snprintf(message, sizeof message,
             tests->running ? "Testing %lld/%lld" : "Tests: %lld/%lld passed",
             (long long)(tests->running ? tests->current : tests->passed), (long long)tests->total);
    line.icon = tests->running ? "✦" : tests->passed == tests->total ? "✓" : "✗";
    return txn_history_add(txn, host, &line);
}

static enum job_result apply_tests(struct txn *txn, struct request *request, void *context)
{
    const char *host = request->host;
    struct host_tests tests;
    char summary[64];

    read_tests(context, &tests);
    snprintf(summary, sizeof summary, "%lld/%lld passed", (long long)tests.passed,
             (long long)tests.total);
    tests.summary = summary;
    if (txn_host_tests(txn, host, &tests) < 0 || txn_host_agent_seen(txn, host) < 0 ||
        add_test_line(txn, host, &tests) < 0)
        return JOB_FAILED;
    return host_updated(txn, request);
}

void post_test_progress(struct request *request)
{
    json_object *body = read_checked(request, test_progress_fields);

    if (body)
        request_submit(request, apply_tests, body, body_free);
}
