#include "dashboard/view/run.h"

#include "dashboard/fleet/state.h"

struct run_list {
    int64_t now_ms, since_ms;
    struct text *out;
};

static void add_result(struct text *out, const struct run_details *run)
{
    text_key_json(out, "phase", run->phase);
    text_key_json(out, "last_phase", run->last_phase);
    text_key_raw(out, "progress", run->progress);
    text_key_json(out, "outcome", run->outcome);
    text_key_raw(out, "exit", run->exit);
    text_key_json(out, "error", run->error);
    if (run->error_line >= 0)
        text_key_int(out, "error_line", run->error_line);
    else
        text_key_raw(out, "error_line", NULL);
    text_key_raw(out, "failed", run->failed);
    text_key_raw(out, "failed_units", run->failed_units);
}

static int64_t silent_for_s(const struct run_details *run, int64_t now_ms)
{
    return run->silent_since_ms && !run->facts.ended && now_ms > run->silent_since_ms
               ? (now_ms - run->silent_since_ms) / 1000
               : 0;
}

/* How long the run will still take: all three members, or null. A run that is not busy is not
 * expected to end. */
static void add_eta(struct text *out, const struct run_details *run, enum run_state state,
                    int64_t now_ms)
{
    const struct {
        const char *name;
        int64_t at_ms;
    } members[] = {{"eta_ms", run->eta_ms},
                   {"eta_low_ms", run->eta_low_ms},
                   {"eta_high_ms", run->eta_high_ms}};

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!run->eta_ms || state != RUN_BUSY)
            text_key_raw(out, members[i].name, NULL);
        else
            text_key_int(out, members[i].name,
                         members[i].at_ms > now_ms ? members[i].at_ms - now_ms : 0);
}

/* A run without heartbeats ends with its last lines. */
static int64_t ended_ms(const struct run_details *run, enum run_state state)
{
    return run->facts.ended        ? run->facts.ended_ms
           : state == RUN_FINISHED ? run->facts.last_seen_ms
                                   : 0;
}

void run_object(const struct run_details *run, int64_t now_ms, struct text *out)
{
    enum run_state state = state_of_run(&run->facts, now_ms);

    text_puts(out, "{");
    text_key_json(out, "id", run->id);
    text_key_json(out, "host", run->host);
    text_key_json(out, "command", run->command);
    text_key_raw(out, "argv", run->argv);
    text_key_json(out, "name", run->name);
    text_key_json(out, "user", run->user);
    text_key_time(out, "started", run->facts.started_ms);
    text_key_time(out, "ended", ended_ms(run, state));
    text_key_json(out, "status", run_state_name(state));
    add_result(out, run);
    text_key_int(out, "lines", run->lines);
    text_key_int(out, "bytes", run->bytes);
    text_key_int(out, "silent_for", silent_for_s(run, now_ms));
    text_key_time(out, "last_seen", run->facts.last_seen_ms);
    text_key_int(out, "interval", run->facts.interval_ms / 1000);
    add_eta(out, run, state, now_ms);
    text_key_raw(out, "lost", state == RUN_CRASHED ? "true" : "false");
    text_key_raw(out, "stop_requested", run->stop ? "true" : "false");
    text_key_time(out, "stop_at", run->stop_ms);
    text_key_json(out, "stop_by", run->stop_by);
    text_puts(out, "}");
}

static void add_run(void *context, const struct run_details *run)
{
    const struct run_list *list = context;

    text_comma(list->out);
    run_object(run, list->now_ms, list->out);
}

static void add_alone(void *context, const struct run_details *run)
{
    const struct run_list *list = context;

    run_object(run, list->now_ms, list->out);
}

int run_json(struct store *store, const char *host, const char *id, int64_t now_ms,
             struct text *out)
{
    struct run_list list = {.now_ms = now_ms, .out = out};

    return store_run(store, host, id, add_alone, &list);
}

static void add_progress(void *context, const struct run_details *run)
{
    struct text *out = context;

    text_key_json(out, "phase", run->phase);
    text_key_raw(out, "progress", run->progress);
    text_key_raw(out, "exit", run->exit);
}

bool run_progress_json(struct store *store, const char *id, struct text *out)
{
    return store_run(store, NULL, id, add_progress, out) >= 0;
}

bool runs_json(struct store *store, const char *host, const char *before, int64_t limit,
               int64_t now_ms, struct text *out)
{
    struct run_list list = {.now_ms = now_ms, .out = out};
    bool read;

    text_puts(out, "[");
    read = store_runs(store, host, before, limit, add_run, &list) == 0;
    text_puts(out, "]");
    return read;
}

static void add_brief(void *context, const struct run_details *run)
{
    const struct run_list *list = context;
    enum run_state state = state_of_run(&run->facts, list->now_ms);

    if (run->facts.started_ms < list->since_ms)
        return;
    text_comma(list->out);
    text_puts(list->out, "{");
    text_key_json(list->out, "id", run->id);
    text_key_json(list->out, "host", run->host);
    text_key_json(list->out, "command", run->command);
    text_key_json(list->out, "name", run->name);
    text_key_time(list->out, "started", run->facts.started_ms);
    text_key_time(list->out, "ended", run->facts.ended_ms);
    text_key_time(list->out, "last_seen", run->facts.last_seen_ms);
    text_key_json(list->out, "status", run_state_name(state));
    text_key_json(list->out, "outcome", run->outcome);
    text_key_raw(list->out, "exit", run->exit);
    text_key_raw(list->out, "lost", state == RUN_CRASHED ? "true" : "false");
    text_key_raw(list->out, "stop_requested", run->stop ? "true" : "false");
    text_key_json(list->out, "error", run->error);
    text_puts(list->out, "}");
}

bool runs_brief_json(struct store *store, const char *before, int64_t since_ms, int64_t limit,
                     int64_t now_ms, struct text *out)
{
    struct run_list list = {.now_ms = now_ms, .since_ms = since_ms, .out = out};
    bool read;

    text_puts(out, "[");
    read = store_runs(store, NULL, before, limit, add_brief, &list) == 0;
    text_puts(out, "]");
    return read;
}
