#include "dashboard/view/host.h"

#include "common/rfc3339.h"
#include "dashboard/fleet/state.h"
#include "dashboard/view/run.h"

#define HISTORY_SHOWN 50 /* of a host's history, the newest lines */

struct host_view {
    struct store *store;
    struct text *out;
    int64_t now_ms;
    bool history;
};

static void begin_line(struct text *out, const struct history_row *row)
{
    char time[RFC3339_SIZE];

    rfc3339_format(row->at_ms, time);
    text_comma(out);
    text_printf(out, "{\"timestamp\":\"%.23s000Z\"", time);
    text_key_json(out, "icon", row->icon);
    text_key_json(out, "message", row->message);
}

static void add_line(void *context, const struct history_row *row)
{
    begin_line(context, row);
    text_puts(context, "}");
}

void history_line_json(void *out, const struct history_row *row)
{
    begin_line(out, row);
    text_key_json(out, "output", row->output);
    text_puts(out, "}");
}

static void add_texts(struct text *out, const struct host_row *row)
{
    text_key_json(out, "id", row->id);
    text_key_json(out, "hostname", row->hostname);
    text_key_json(out, "host_type", row->host_type);
    text_key_json(out, "location", row->location);
    text_key_json(out, "device_type", row->device_type);
    text_key_json(out, "theme_color", row->theme_color);
    text_key_json(out, "criticality", row->criticality);
    text_key_json(out, "icon", row->icon);
    text_key_json(out, "current_generation", row->current_generation);
    text_key_json(out, "status", row->status);
    text_key_json(out, "pending_command", row->pending_command);
    text_key_json(out, "comment", row->comment);
    text_key_json(out, "test_status", row->test_status);
    text_key_json(out, "config_repo", row->config_repo);
    text_key_json(out, "test_result", row->test_result);
    text_key_json(out, "metrics", row->metrics);
    text_key_json(out, "agent_version", row->agent_version);
    text_key_json(out, "nixpkgs_version", row->nixpkgs_version);
    text_key_json(out, "os_version", row->os_version);
    text_key_json(out, "os_name", row->os_name);
}

static void add_numbers(struct text *out, const struct host_row *row)
{
    text_key_int(out, "test_running", row->test_running);
    text_key_int(out, "test_current", row->test_current);
    text_key_int(out, "test_total", row->test_total);
    text_key_int(out, "test_passed_count", row->test_passed_count);
    text_key_int(out, "poll_interval", row->poll_interval);
    text_key_v1_time(out, "last_seen", row->last_seen_ms);
    text_key_v1_time(out, "last_switch", row->last_switch_ms);
    text_key_v1_time(out, "last_audit", row->last_audit_ms);
    text_key_v1_time(out, "last_fix", row->last_fix_ms);
    text_key_v1_time(out, "command_queued_at", row->command_queued_ms);
    text_key_v1_time(out, "metrics_updated_at", row->metrics_updated_ms);
    text_key_int(out, "agent_seen", row->agent_seen_ms);
}

static void add_verdict(struct text *out, const struct verdict_row *row)
{
    text_puts(out, "{");
    text_key_json(out, "name", row->name);
    text_key_json(out, "outcome", row->outcome);
    text_key_json(out, "error", row->error);
    text_key_json(out, "run", row->run);
    text_key_time(out, "started", row->started_ms);
    text_key_time(out, "ended", row->ended_ms);
    text_puts(out, "}");
}

static void add_verdict_entry(void *context, const struct verdict_row *row)
{
    text_comma(context);
    add_verdict(context, row);
}

static void add_host(void *context, const struct host_row *row)
{
    const struct host_view *view = context;
    struct text *out = view->out;
    int64_t since = 0;
    struct host_facts facts = {.last_seen_ms = row->last_seen_ms,
                               .agent_seen_ms = row->agent_seen_ms};
    enum host_state state = state_of_host(&facts, &row->run.facts, view->now_ms, &since);

    text_comma(out);
    text_puts(out, "{");
    add_texts(out, row);
    add_numbers(out, row);
    text_key_raw(out, "online",
                 row->last_seen_ms && view->now_ms - row->last_seen_ms < STATE_OFFLINE_MS
                     ? "true"
                     : "false");
    if (view->history) {
        text_key(out, "status_history");
        text_puts(out, "[");
        out->failed |= store_history(view->store, row->id, HISTORY_SHOWN, false, add_line, out) < 0;
        text_puts(out, "]");
    }
    text_key_json(out, "state", host_state_name(state));
    text_key_int(out, "state_since", since);
    text_key_raw(out, "reachable",
                 !row->agent_seen_ms                    ? NULL
                 : host_reachable(&facts, view->now_ms) ? "true"
                                                        : "false");
    if (row->verdict.outcome) {
        text_key(out, "verdict");
        add_verdict(out, &row->verdict);
    } else {
        text_key_raw(out, "verdict", NULL);
    }
    if (view->history) {
        text_key(out, "verdicts");
        text_puts(out, "[");
        out->failed |= store_verdicts(view->store, row->id, add_verdict_entry, out) < 0;
        text_puts(out, "]");
    }
    if (row->run.facts.exists) {
        text_key(out, "run");
        run_object(&row->run, view->now_ms, out);
    } else {
        text_key_raw(out, "run", NULL);
    }
    text_puts(out, "}");
}

bool hosts_json(struct store *store, bool history, int64_t now_ms, struct text *out)
{
    struct host_view view = {store, out, now_ms, history};

    return store_hosts(store, add_host, &view) == 0;
}

int host_json(struct store *store, const char *id, bool history, int64_t now_ms, struct text *out)
{
    struct host_view view = {store, out, now_ms, history};

    return store_host(store, id, add_host, &view);
}
