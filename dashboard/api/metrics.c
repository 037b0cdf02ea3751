/* GET /metrics: Prometheus' text format, version 0.0.4. All samples of a metric must be together,
   so each metric collects its samples in a text of its own while the hosts are visited once. */
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/fleet/state.h"
#include "dashboard/fleet/verdict.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/server.h"

enum metric {
    BUILD,
    START,
    HOSTS,
    RUNS_OPEN,
    JOBS,
    COMMITS,
    WAITING,
    CLIENTS,
    HOST_STATE,
    HOST_REACHABLE,
    HOST_FAILING,
    HOST_SEEN,
    HOST_SWITCH,
    HOST_GENERATION,
    HOST_PHASE,
    RUN_SUCCESS,
    RUN_FAILURE,
    RUN_FAILING,
    METRICS
};

static const struct {
    const char *name, *type, *help;
} metrics[METRICS] = {
    [BUILD] = {"nixfleet_build_info", "gauge", "The version of the dashboard."},
    [START] = {"process_start_time_seconds", "gauge",
               "When the dashboard started, in seconds since the Unix epoch."},
    [HOSTS] = {"nixfleet_hosts", "gauge", "Hosts that are known."},
    [RUNS_OPEN] = {"nixfleet_runs_open", "gauge", "Runs of all hosts that have not ended."},
    [JOBS] = {"nixfleet_store_jobs_total", "counter", "Writes that the store has finished."},
    [COMMITS] = {"nixfleet_store_commits_total", "counter",
                 "Commits of the store: several writes can share one."},
    [WAITING] = {"nixfleet_store_jobs_waiting", "gauge", "Writes that wait for the store."},
    [CLIENTS] = {"nixfleet_live_clients", "gauge", "Open pages, each with a WebSocket."},
    [HOST_STATE] = {"nixfleet_host_state", "gauge",
                    "1 for the state that the host is in, 0 for the others."},
    [HOST_REACHABLE] = {"nixfleet_host_reachable", "gauge",
                        "Whether a report of the host arrived within five minutes (only hosts with "
                        "an agent)."},
    [HOST_FAILING] = {"nixfleet_host_failing", "gauge",
                      "Whether the run that counts for the host, usually its last switch, did "
                      "not succeed."},
    [HOST_SEEN] = {"nixfleet_host_last_seen_timestamp_seconds", "gauge",
                   "When the last report of the host arrived."},
    [HOST_SWITCH] = {"nixfleet_host_last_switch_timestamp_seconds", "gauge",
                     "When a switch of the host last succeeded."},
    [HOST_GENERATION] = {"nixfleet_host_generation_info", "gauge",
                         "The configuration that the host says it runs."},
    [HOST_PHASE] = {"nixfleet_host_phase_info", "gauge", "The phase of the run that is busy."},
    [RUN_SUCCESS] = {"nixfleet_run_last_success_timestamp_seconds", "gauge",
                     "When a run of this name last succeeded on the host."},
    [RUN_FAILURE] = {"nixfleet_run_last_failure_timestamp_seconds", "gauge",
                     "When a run of this name last failed, crashed or left failed units."},
    [RUN_FAILING] = {"nixfleet_run_failing", "gauge",
                     "Whether the last run of this name did not succeed."},
};

struct page {
    struct store *store;
    struct text samples[METRICS];
    int64_t now_ms;
    /* Of the host that is being visited. */
    const char *host;
    int64_t switch_ms;
};

/* ---- samples ---- */

/* Writes the value of a label, with the escapes of the format. */
static void add_value(struct text *out, const char *value)
{
    for (; value && *value; value++) {
        if (*value == '\\' || *value == '"')
            text_printf(out, "\\%c", *value);
        else if (*value == '\n')
            text_puts(out, "\\n");
        else
            text_add(out, value, 1);
    }
}

/* Begins a sample: its name and up to two labels (NULL: none). */
static struct text *begin(struct page *page, enum metric metric, const char *first,
                          const char *first_value, const char *second, const char *second_value)
{
    struct text *out = &page->samples[metric];

    text_puts(out, metrics[metric].name);
    if (!first)
        return out;
    text_printf(out, "{%s=\"", first);
    add_value(out, first_value);
    if (second) {
        text_printf(out, "\",%s=\"", second);
        add_value(out, second_value);
    }
    text_puts(out, "\"}");
    return out;
}

static void add(struct page *page, enum metric metric, int64_t value)
{
    text_printf(begin(page, metric, NULL, NULL, NULL, NULL), " %lld\n", (long long)value);
}

static void add_host(struct page *page, enum metric metric, int64_t value)
{
    text_printf(begin(page, metric, "host", page->host, NULL, NULL), " %lld\n", (long long)value);
}

static void add_info(struct page *page, enum metric metric, const char *label, const char *value,
                     int is)
{
    text_printf(begin(page, metric, "host", page->host, label, value), " %d\n", is);
}

/* Adds a time, if there is one. */
static void add_moment(struct page *page, enum metric metric, const char *name, int64_t ms)
{
    if (ms > 0)
        text_printf(begin(page, metric, "host", page->host, name ? "name" : NULL, name),
                    " %lld.%03d\n", (long long)(ms / 1000), (int)(ms % 1000));
}

/* ---- hosts ---- */

static void visit_verdict(void *context, const struct verdict_row *row)
{
    struct page *page = context;

    add_moment(page, RUN_SUCCESS, row->name, row->success_ms);
    add_moment(page, RUN_FAILURE, row->name, row->failure_ms);
    add_info(page, RUN_FAILING, "name", row->name, verdict_is_problem(row->outcome));
    if (verdict_is_switch(row->name) && row->success_ms > page->switch_ms)
        page->switch_ms = row->success_ms;
}

static void add_state(struct page *page, const struct host_row *row, const struct host_facts *facts)
{
    int64_t since;
    enum host_state state = state_of_host(facts, &row->run.facts, page->now_ms, &since);

    for (int other = HOST_IDLE; other <= HOST_OFFLINE; other++)
        add_info(page, HOST_STATE, "state", host_state_name((enum host_state)other),
                 other == (int)state);
    if (facts->agent_seen_ms)
        add_host(page, HOST_REACHABLE, host_reachable(facts, page->now_ms));
    if (state == HOST_BUSY && row->run.phase)
        add_info(page, HOST_PHASE, "phase", row->run.phase, 1);
}

static void visit_host(void *context, const struct host_row *row)
{
    struct page *page = context;
    struct host_facts facts = {.last_seen_ms = row->last_seen_ms,
                               .agent_seen_ms = row->agent_seen_ms};

    page->host = row->id;
    page->switch_ms = 0;
    add_state(page, row, &facts);
    add_moment(page, HOST_SEEN, NULL, row->last_seen_ms);
    if (row->verdict.outcome)
        add_host(page, HOST_FAILING, verdict_is_problem(row->verdict.outcome));
    if (row->current_generation)
        add_info(page, HOST_GENERATION, "generation", row->current_generation, 1);
    if (store_verdicts(page->store, row->id, visit_verdict, page) < 0)
        page->samples[HOSTS].failed = true;
    add_moment(page, HOST_SWITCH, NULL, page->switch_ms);
}

/* ---- the page ---- */

static void add_totals(struct page *page, struct request *request)
{
    struct store_counts counts;

    store_counts(page->store, &counts);
    text_printf(begin(page, BUILD, "version", VERSION, NULL, NULL), " 1\n");
    text_printf(begin(page, START, NULL, NULL, NULL, NULL), " %lld.%03d\n",
                (long long)(request->server->started_ms / 1000),
                (int)(request->server->started_ms % 1000));
    add(page, HOSTS, counts.hosts);
    add(page, RUNS_OPEN, counts.runs_open);
    add(page, JOBS, (int64_t)counts.jobs);
    add(page, COMMITS, (int64_t)counts.commits);
    add(page, WAITING, (int64_t)counts.waiting);
    add(page, CLIENTS, (int64_t)live_count(request->server->live));
}

static void join(struct page *page, struct text *out)
{
    for (int i = 0; i < METRICS; i++) {
        struct text *samples = &page->samples[i];

        if (samples->size) {
            text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help,
                        metrics[i].name, metrics[i].type);
            text_add(out, samples->bytes, samples->size);
        }
        out->failed |= samples->failed;
        text_free(samples);
    }
}

void get_metrics(struct request *request)
{
    struct page page = {.store = request->server->store,
                        .now_ms = store_now_ms(request->server->store)};
    struct text out = {0};

    add_totals(&page, request);
    store_snapshot(page.store);
    out.failed = store_hosts(page.store, visit_host, &page) < 0;
    store_snapshot_end(page.store);
    join(&page, &out);
    answer_text(request, &out);
    request->answer.type = "text/plain; version=0.0.4; charset=utf-8";
}
