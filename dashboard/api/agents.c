/* What the bash agent speaks (v1): register, poll, status, test-progress. A bad form is
 * told before a bad token, as v1 does. */
#include <stdio.h>
#include <string.h>

#include "dashboard/api/api.h"
#include "dashboard/api/clean.h"
#include "dashboard/auth/auth.h"
#include "dashboard/store/sqlite/commands.h"
#include "dashboard/store/sqlite/log.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/server/server.h"
#include "dashboard/fleet/validate.h"

static void answer_invalid(struct request *request, json_object *detail)
{
    answer_puts(request, 422, json_object_to_json_string_ext(detail, JSON_C_TO_STRING_PLAIN));
    json_object_put(detail);
}

static json_object *read_checked(struct request *request, const struct field_rule *rules)
{
    struct json_problem unread;
    json_object *object = request_object(request, &unread), *problem;

    if (!object && unread.no_memory)
        return NULL;
    if (!object) {
        answer_puts(request, 422,
                    "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"Invalid "
                    "JSON\",\"type\":\"value_error.jsondecode\"}]}");
        return NULL;
    }
    problem = validate_body(object, rules);
    if (problem) {
        answer_invalid(request, problem);
        json_object_put(object);
        return NULL;
    }
    if (!clean_or_answer(request, object, 422)) {
        json_object_put(object);
        return NULL;
    }
    if (!auth_allows(request, ROLE_AGENT)) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

/* At the first authorised call of a host that has none, a token of its own: put into token, else
 * "". */
static bool provision(struct txn *txn, const struct request *request, char token[TOKEN_SIZE])
{
    const struct dashboard_settings *settings = &request->server->settings;
    sqlite3_stmt *find =
        txn_statement(txn, "SELECT agent_token_hash IS NULL FROM hosts WHERE id=?");
    char hash[TOKEN_HASH_SIZE];
    bool wanted;

    token[0] = '\0';
    if (!find)
        return false;
    statement_bind(find, "t", request->host);
    wanted = sqlite3_step(find) == SQLITE_ROW && sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    if (!wanted || !settings->auto_provision || !settings->agent_token_hash_secret)
        return true;
    if (token_make(token) < 0 || token_hash(settings->agent_token_hash_secret, token, hash) < 0)
        return false;
    return fleet_run(txn, "UPDATE hosts SET agent_token_hash=?2 WHERE id=?1", "tt", request->host,
                     hash);
}

static void add_handout(struct text *out, const char *command, const char *token)
{
    text_key_json(out, "command", *command ? command : NULL);
    if (*token)
        text_key_json(out, "agent_token", token);
    text_puts(out, "}");
}

static enum job_result apply_register(struct txn *txn, struct request *request, void *context)
{
    json_object *body = context, *metrics = NULL;
    const char *why = NULL, *host = request->host;
    char command[32], token[TOKEN_SIZE];
    struct text out = {0};

    field_typed(body, "metrics", json_type_object, &metrics, &why);
    if (!fleet_run(txn,
                   "INSERT INTO hosts(id, hostname, criticality, status) "
                   "VALUES(?1,?1,coalesce(?2,'low'),'ok') ON CONFLICT(id) DO NOTHING",
                   "tt", host, body_text(body, "criticality")) ||
        !fleet_run(
            txn,
            "UPDATE hosts SET host_type=coalesce(?2,host_type), location=coalesce(?3,location), "
            "device_type=coalesce(?4,device_type),"
            " theme_color=coalesce(?5,theme_color), "
            "current_generation=coalesce(?6,current_generation), "
            "config_repo=coalesce(?7,config_repo),"
            " agent_version=coalesce(?8,agent_version), "
            "nixpkgs_version=coalesce(?9,nixpkgs_version), os_version=coalesce(?10,os_version),"
            " os_name=coalesce(?11,os_name), icon=coalesce(?12,icon), "
            "comment=coalesce(?13,comment), test_status=coalesce(?14,test_status),"
            " poll_interval=?15, last_seen=?16, status='ok' WHERE id=?1",
            "tttttttttttttt"
            "ii",
            host, body_text(body, "host_type"), body_text(body, "location"),
            body_text(body, "device_type"), body_text(body, "theme_color"),
            body_text(body, "current_generation"), body_text(body, "config_repo"),
            body_text(body, "agent_version"), body_text(body, "nixpkgs_version"),
            body_text(body, "os_version"), body_text(body, "os_name"), body_text(body, "icon"),
            body_text(body, "comment"), body_text(body, "test_status"),
            body_number(body, "poll_interval", 30), txn->now_ms) ||
        (metrics &&
         !fleet_run(txn, "UPDATE hosts SET metrics=?2, metrics_updated_at=?3 WHERE id=?1", "tti",
                    host, json_object_to_json_string_ext(metrics, JSON_C_TO_STRING_SPACED),
                    txn->now_ms)) ||
        !fleet_take_command(txn, host, command) || !provision(txn, request, token) ||
        host_settle(txn, host) < 0)
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
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
    char command[32], token[TOKEN_SIZE];
    struct text out = {0};

    (void)context;
    if (host_seen(txn, request->host) < 0 || !fleet_take_command(txn, request->host, command) ||
        !provision(txn, request, token) || host_settle(txn, request->host) < 0)
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
    text_puts(&out, "{");
    add_handout(&out, command, token);
    answer_text(request, &out);
    return JOB_DONE;
}

void get_poll(struct request *request)
{
    if (auth_allows(request, ROLE_AGENT))
        request_submit(request, apply_poll, NULL, NULL);
}

#define DERIVED_MAX 100 /* bytes, as in v1 */

/* The comment of a status that came without one: the first line of an error, cut between two
 * characters. NULL: it stays. */
static const char *derive_comment(const char *status, const char *output,
                                  char comment[DERIVED_MAX + 1])
{
    if (strcmp(status, "error") == 0 && output && *output) {
        size_t length = strcspn(output, "\n");

        if (length > DERIVED_MAX)
            for (length = DERIVED_MAX;
                 length > 0 && ((unsigned char)output[length] & 0xc0) == 0x80;)
                length--;
        snprintf(comment, DERIVED_MAX + 1, "%.*s", (int)length, output);
        return comment;
    }
    if (output && strstr(output, "Already up to date"))
        return "Already up to date";
    if (output && strstr(output, "Already up-to-date"))
        return "Already up-to-date";
    return output && strstr(output, "Updating") ? "Pull successful" : NULL;
}

static enum job_result apply_status(struct txn *txn, struct request *request, void *context)
{
    json_object *body = context;
    const char *status = body_text(body, "status"), *comment = body_text(body, "comment"),
               *output = body_text(body, "output"), *host = request->host;
    bool ok = strcmp(status, "ok") == 0;
    char derived[DERIVED_MAX + 1];
    bool done;

    if (!comment)
        comment = derive_comment(status, output, derived);
    done =
        fleet_run(txn,
                  "UPDATE hosts SET status=?2, current_generation=coalesce(?3,current_generation), "
                  "test_status=coalesce(?4,test_status),"
                  " comment=coalesce(?5,comment), last_seen=?6, last_switch=CASE WHEN ?2='ok' THEN "
                  "?6 ELSE last_switch END,"
                  " test_running=0 WHERE id=?1",
                  "ttttti", host, status, body_text(body, "current_generation"),
                  body_text(body, "test_status"), comment, txn->now_ms) &&
        fleet_run(txn,
                  "UPDATE command_log SET status=?2, output=?3, completed=?4 WHERE id=(SELECT "
                  "max(id) FROM command_log WHERE host=?1"
                  " AND completed IS NULL)",
                  "ttti", host, status, output, txn->now_ms) &&
        fleet_run(txn,
                  "INSERT INTO history(host, at, icon, message, output) SELECT ?1,?2,?3,?4,?5 FROM "
                  "hosts WHERE id=?1",
                  "titt"
                  "t",
                  host, txn->now_ms, ok ? "✓" : "✗",
                  comment ? comment
                  : ok    ? "Command completed"
                          : "Command failed",
                  output) &&
        host_settle(txn, host) == 0;
    if (!done)
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
    answer_puts(request, 200, "{\"status\":\"updated\"}");
    return JOB_DONE;
}

void post_status(struct request *request)
{
    json_object *body = read_checked(request, status_fields);

    if (body)
        request_submit(request, apply_status, body, body_free);
}

static enum job_result apply_tests(struct txn *txn, struct request *request, void *context)
{
    json_object *body = context, *flag = NULL;
    int64_t current = body_number(body, "current", 0), total = body_number(body, "total", 0),
            passed = body_number(body, "passed", 0);
    const char *why = NULL, *host = request->host;
    bool running = !field_typed(body, "running", json_type_boolean, &flag, &why) ||
                   json_object_get_boolean(flag);
    char message[64], summary[64];

    snprintf(summary, sizeof summary, "%lld/%lld passed", (long long)passed, (long long)total);
    if (!fleet_run(txn,
                   "UPDATE hosts SET test_running=?2, test_current=?3, test_total=?4, "
                   "test_passed_count=?5, last_seen=?6 WHERE id=?1",
                   "tiiiii", host, (int64_t)running, current, total, passed, txn->now_ms))
        return JOB_FAILED;
    if (!running && !fleet_run(txn,
                               "UPDATE hosts SET test_result=?2, test_status=?3, "
                               "comment=coalesce(?4,comment), last_audit=?5 WHERE id=?1",
                               "tttti", host, body_text(body, "result"), summary,
                               body_text(body, "comment"), txn->now_ms))
        return JOB_FAILED;
    snprintf(message, sizeof message, running ? "Testing %lld/%lld" : "Tests: %lld/%lld passed",
             (long long)(running ? current : passed), (long long)total);
    if ((!running || current <= 1 || current % 5 == 0) &&
        !fleet_run(txn,
                   "INSERT INTO history(host, at, icon, message) SELECT ?1,?2,?3,?4 FROM hosts "
                   "WHERE id=?1",
                   "titt", host, txn->now_ms,
                   running           ? "✦"
                   : passed == total ? "✓"
                                     : "✗",
                   message))
        return JOB_FAILED;
    if (host_settle(txn, host) < 0)
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
    answer_puts(request, 200, "{\"status\":\"updated\"}");
    return JOB_DONE;
}

void post_test_progress(struct request *request)
{
    json_object *body = read_checked(request, test_progress_fields);

    if (body)
        request_submit(request, apply_tests, body, body_free);
}
