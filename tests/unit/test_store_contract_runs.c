/* What every engine of the store must do with runs, commands, history and sessions, through store.h
   alone. */
#include <time.h>

#include "tests/unit/store_fixture.h"

/* ---- commands, history, sessions ---- */

static enum job_result use_commands(struct txn *txn, struct work *work)
{
    char command[STORE_COMMAND_SIZE];
    struct run_row run;

    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_command_queue(txn, "host", "pull"), 0);
    assert_int_equal(txn_command_queue(txn, "host", "switch"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "switch");
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_command_finish(txn, "host", "ok", "done", NULL), 0);
    assert_int_equal(txn_command_queue(txn, "host", "test"), 0);
    assert_int_equal(txn_command_cancel(txn, "host", command), 0);
    assert_string_equal(command, "test");
    assert_int_equal(txn_command_cancel(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    assert_int_equal(txn_command_queue(txn, "host", "pull"), 0);
    assert_int_equal(txn_command_stop(txn, "host", "203.0.113.7"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.stop);
    return JOB_DONE;
}

static void see_commands(void *context, const struct command_row *row)
{
    (*(int *)context)++;
    assert_string_equal(row->command, "switch");
    assert_string_equal(row->status, "ok");
    assert_string_equal(row->output, "done");
    assert_true(row->created_ms > 0 && row->completed_ms >= row->created_ms);
}

static void a_command_is_taken_once_and_a_stop_asks_the_run(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = use_commands});
    assert_int_equal(store_commands(fixture->store, "host", 10, see_commands, &count), 0);
    assert_int_equal(count, 1);
}

static enum job_result fill_history(struct txn *txn, struct work *work)
{
    char message[32];
    struct history_row line = {.icon = "x", .message = message, .output = "long"};

    (void)work;
    assert_int_equal(txn_history_add(txn, "host", &line), 0); /* no such host: nothing is kept */
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < 1005; i++) {
        snprintf(message, sizeof message, "number %d", i);
        assert_int_equal(txn_history_add(txn, "host", &line), 0);
    }
    return JOB_DONE;
}

static void see_history(void *context, const struct history_row *row)
{
    int *count = context;
    char message[32];

    snprintf(message, sizeof message, "number %d", 1004 - (*count)++);
    assert_string_equal(row->message, message);
}

static void a_history_keeps_its_newest_thousand_lines(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = fill_history});
    assert_int_equal(store_history(fixture->store, "host", 0, true, see_history, &count), 0);
    assert_int_equal(count, 1000);
    count = 0;
    assert_int_equal(store_history(fixture->store, "host", 50, false, see_history, &count), 0);
    assert_int_equal(count, 50);
}

static enum job_result use_sessions(struct txn *txn, struct work *work)
{
    assert_int_equal(txn_session_add(txn, "short", -1), 0);
    assert_int_equal(txn_session_add(txn, "one", 60000), 0);
    assert_int_equal(txn_session_add(txn, "two", 60000), 0);
    assert_int_equal(txn_session_drop(txn, "two"), 0);
    work->result = txn->now_ms;
    return JOB_DONE;
}

static void a_session_ends_by_time_or_by_hand(void **state)
{
    struct fixture *fixture = *state;
    int64_t now_ms = do_work(fixture, (struct work){.apply = use_sessions});

    assert_int_equal(store_session_end(fixture->store, "short", now_ms), 0);
    assert_true(store_session_end(fixture->store, "one", now_ms) > now_ms);
    assert_int_equal(store_session_end(fixture->store, "one", now_ms + 59999), now_ms + 60000);
    assert_int_equal(store_session_end(fixture->store, "one", now_ms + 60000), 0);
    assert_int_equal(store_session_end(fixture->store, "two", now_ms), 0);
}

/* ---- runs ---- */

static enum job_result end_a_run(struct txn *txn, struct work *work)
{
    struct run_end end = {.ended_ms = 5000,
                          .outcome = "failure",
                          .exit = "{\"code\":1}",
                          .error = "why",
                          .error_line = 3,
                          .authoritative = true},
                   late = {.ended_ms = 9000, .outcome = "success", .error_line = -1};
    struct run_update update = {.last_seen_ms = 4000,
                                .started_ms = 1000,
                                .interval_ms = 10000,
                                .phase = "building",
                                .name = "n",
                                .lost = true};
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_true(run.fresh && run.key);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.lost && !run.ended && !run.fresh);
    assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
    assert_int_equal(txn_run_finish(txn, run.key, &late), 0);
    update.phase = "evaluating";
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    return JOB_DONE;
}

static void see_end(void *context, const struct run_details *row)
{
    (*(int *)context)++;
    assert_true(row->facts.ended && !row->facts.lost && row->facts.ended_ms == 5000);
    assert_string_equal(row->outcome, "failure");
    assert_string_equal(row->phase, "failed");
    assert_string_equal(row->last_phase, "evaluating");
    assert_string_equal(row->exit, "{\"code\":1}");
    assert_string_equal(row->error, "why");
    assert_string_equal(row->name, "n");
    assert_int_equal(row->error_line, 3);
}

static void a_run_that_has_ended_keeps_its_end(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = end_a_run});
    assert_int_equal(store_run(fixture->store, "host", RUN, see_end, &count), 1);
    assert_int_equal(store_run(fixture->store, NULL, RUN, see_end, &count), 1);
    assert_int_equal(store_run(fixture->store, "other", RUN, see_end, &count), 0);
    assert_int_equal(count, 2);
}

#define RUNS 6

static enum job_result make_runs(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < RUNS; i++) {
        struct run_end end = {.ended_ms = txn->now_ms - i * 1000, .error_line = -1};
        struct chunk lines = {.count = 1, .text = "1234567890", .size = 10};
        struct run_row run;
        char id[RUN_ID_SIZE];

        snprintf(id, sizeof id, "01900000-0000-7000-8000-00000000010%c", '0' + i);
        assert_int_equal(txn_run_create(txn, "host", id, &run), 0);
        put_heartbeat(txn, run.key, txn->now_ms,
                      txn->now_ms - i * 1000); /* made last, started first */
        assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
        assert_int_equal(txn_log_splice(txn, &run, &lines), 1);
        assert_int_equal(txn_run_save_counts(txn, &run, -1), 0);
    }
    work->result = txn->now_ms;
    return JOB_DONE;
}

static void see_derivation(void *context, const struct derivation_row *row)
{
    ++*(int64_t *)context;
    assert_int_equal(row->n, 3);
    assert_string_equal(row->state, "built");
    assert_string_equal(row->machine, "m");
    assert_null(row->step);
    assert_int_equal(row->started_ms, 100);
    assert_int_equal(row->ended_ms, 250);
    assert_int_equal(row->lines, 2);
}

static enum job_result put_builds(struct txn *txn, struct work *work)
{
    struct run_row run;
    const struct derivation_row first = {.n = 3,
                                         .name = "a",
                                         .state = "building",
                                         .started_ms = 100,
                                         .line = 7,
                                         .lines = 1},
                                then = {.n = 3,
                                        .name = "a",
                                        .state = "built",
                                        .machine = "m",
                                        .ended_ms = 250,
                                        .line = 7,
                                        .lines = 2};

    if (txn_run_find(txn, RUN_2, &run) < 0 ||
        (!run.key && txn_run_create(txn, "host", RUN_2, &run) < 0) ||
        txn_derivation_put(txn, run.key, &first) < 0 ||
        txn_derivation_put(txn, run.key, &then) < 0 || txn_changes_put(txn, run.key, "[1]") < 0 ||
        txn_changes_put(txn, run.key, "[2]") < 0)
        return JOB_FAILED;
    work->result = run.key;
    assert_int_equal(txn_derivations(txn, run.key, see_derivation, &work->count), 0);
    assert_int_equal(work->count, 1);
    return JOB_DONE;
}

static enum job_result hide_builds(struct txn *txn, struct work *work)
{
    char host[HOST_ID_SIZE];

    return txn_run_hide(txn, work->from, host) < 0 ? JOB_FAILED : JOB_DONE;
}

static void see_changed(void *context, const char *changes)
{
    ++*(int64_t *)context;
    assert_string_equal(changes, "[2]");
}

static void a_derivation_is_replaced_by_its_index_and_goes_with_its_run(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = do_work(fixture, (struct work){.apply = put_builds});
    int64_t seen = 0;

    assert_int_equal(store_derivations(fixture->store, key, 0, 10, see_derivation, &seen), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(store_derivations(fixture->store, key, 4, 10, see_derivation, &seen), 0);
    assert_int_equal(store_changes(fixture->store, key, see_changed, &seen), 1);
    assert_int_equal(seen, 2);
    do_work(fixture, (struct work){.apply = hide_builds, .from = key});
    assert_int_equal(store_derivations(fixture->store, key, 0, 10, see_derivation, &seen), 0);
    assert_int_equal(store_changes(fixture->store, key, see_changed, &seen), 0);
    assert_int_equal(seen, 2);
}

/* ---- the logs of derivations ---- */

/* Writes what a reader sees of the log of derivation 3: lines, and "(N)" for N lines left out. */
static bool see_piece(void *context, const struct chunk *chunk)
{
    char *out = context, *end = out + strlen(out);

    if (chunk->text)
        sprintf(end, "%lld:%.*s|", (long long)chunk->first, (int)chunk->size, chunk->text);
    else
        sprintf(end, "(%lld)", (long long)chunk->count);
    return true;
}

static int splice_log(struct txn *txn, int64_t key, int64_t n, int64_t first, const char *log_text)
{
    struct chunk lines = {.first = first, .count = 1, .text = log_text, .size = strlen(log_text)};

    for (const char *c = log_text; *c; c++)
        lines.count += *c == '\n';
    return txn_build_log_splice(txn, key, n, &lines, 100);
}

static enum job_result put_logs(struct txn *txn, struct work *work)
{
    static char long_text[101];
    const struct derivation_row row = {.n = 3, .name = "a", .state = "built"};
    struct run_row run;

    memset(long_text, 'x', sizeof long_text - 1);
    if (txn_run_find(txn, RUN_2, &run) < 0 ||
        (!run.key && txn_run_create(txn, "host", RUN_2, &run) < 0) ||
        txn_derivation_put(txn, run.key, &row) < 0)
        return JOB_FAILED;
    work->result = run.key;
    assert_int_equal(splice_log(txn, run.key, 4, 0, "of nobody"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 0, "a\nb\nc"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 0, "a\nb\nc"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 1, "b"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 3, "d\ne"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 2, "c\nd"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 4, long_text), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 4, "E"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 9, "z"), 1);
    return JOB_DONE;
}

static enum job_result rename_derivation(struct txn *txn, struct work *work)
{
    const struct derivation_row other = {.n = 3, .name = "b", .state = "built"};

    return txn_derivation_put(txn, work->from, &other) < 0 ? JOB_FAILED : JOB_DONE;
}

static void the_log_of_a_derivation_is_spliced_and_goes_with_its_run(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = do_work(fixture, (struct work){.apply = put_logs});
    char seen[200] = "", behind[200] = "";

    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 10);
    assert_int_equal(store_build_log_lines(fixture->store, key, 4), 0);
    assert_int_equal(store_build_log(fixture->store, key, 3, 0, see_piece, seen), 0);
    assert_string_equal(seen, "0:a\nb\nc|3:d|4:E|(4)9:z|");
    assert_int_equal(store_build_log(fixture->store, key, 3, 6, see_piece, behind), 0);
    assert_string_equal(behind, "(3)9:z|");
    do_work(fixture, (struct work){.apply = rename_derivation, .from = key});
    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 0);
    do_work(fixture, (struct work){.apply = put_logs});
    do_work(fixture, (struct work){.apply = hide_builds, .from = key});
    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 0);
    seen[0] = '\0';
    assert_int_equal(store_build_log(fixture->store, key, 3, 0, see_piece, seen), 0);
    assert_string_equal(seen, "");
}

/* ---- how long runs take ---- */

/* What was visited, as text. */
struct seen_text {
    char text[512];
    size_t size;
};

static void see_duration(void *context, const struct duration_row *row)
{
    struct seen_text *seen = context;

    seen->size += (size_t)snprintf(seen->text + seen->size, sizeof seen->text - seen->size,
                                   "%s%s %s:", seen->size ? "; " : "", row->kind, row->what);
    for (size_t i = 0; i < row->count; i++)
        seen->size += (size_t)snprintf(seen->text + seen->size, sizeof seen->text - seen->size,
                                       " %lld", (long long)row->ms[i]);
}

static void assert_durations(struct txn *txn, const char *host, const char *name,
                             const char *expected)
{
    struct seen_text seen = {0};

    assert_int_equal(txn_durations(txn, host, name, see_duration, &seen), 0);
    assert_string_equal(seen.text, expected);
}

static enum job_result add_durations(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int64_t i = 1; i <= 12; i++)
        assert_int_equal(txn_duration_add(txn, "host", "switch", "phase", "building", i * 1000), 0);
    assert_int_equal(txn_duration_add(txn, "host", "switch", "derivation", "linux", 7), 0);
    assert_int_equal(txn_duration_add(txn, "host", "switch", "derivation", "linux", -7), 0);
    assert_int_equal(txn_duration_add(txn, "host", "", "phase", "running", 1), 0);
    assert_int_equal(txn_duration_add(txn, "other", "switch", "phase", "building", 2), 0);
    assert_durations(txn, "host", "switch",
                     "derivation linux: 0 7; phase building: 12000 11000 10000 9000 8000 7000 "
                     "6000 5000 4000 3000");
    assert_durations(txn, "host", "pull", "");
    assert_durations(txn, "host", "", "phase running: 1");
    work->result = txn->now_ms;
    return JOB_DONE;
}

/* This job must run later than add_durations. */
static enum job_result trim_durations(struct txn *txn, struct work *work)
{
    assert_true(txn->now_ms > work->from);
    assert_int_equal(txn_duration_add(txn, "host", "pull", "phase", "pulling", 5), 0);
    assert_int_equal(txn_durations_trim(txn, "host", 4), 0);
    assert_durations(txn, "host", "", "phase running: 1");
    assert_int_equal(txn_durations_trim(txn, "host", 1), 0);
    assert_durations(txn, "host", "", "");
    assert_durations(txn, "host", "switch", "");
    assert_durations(txn, "host", "pull", "phase pulling: 5");
    assert_durations(txn, "other", "switch", "phase building: 2");
    assert_int_equal(txn_expire(txn, 0, txn->now_ms, 10),
                     1); /* the durations of the other host are older */
    assert_durations(txn, "other", "switch", "");
    assert_durations(txn, "host", "pull", "phase pulling: 5");
    assert_int_equal(txn_host_remove(txn, "host"), 1);
    assert_durations(txn, "host", "pull", "");
    return JOB_DONE;
}

static void durations_are_kept_by_host_and_run_name_the_newest_ten_of_each(void **state)
{
    struct fixture *fixture = *state;
    int64_t added_ms = do_work(fixture, (struct work){.apply = add_durations});

    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    do_work(fixture, (struct work){.apply = trim_durations, .from = added_ms});
}

static enum job_result time_a_run(struct txn *txn, struct work *work)
{
    const struct run_update update = {.last_seen_ms = 1, .started_ms = 900, .name = "switch"};
    const struct run_timing timing = {.phase_at_ms = 1000,
                                      .phases = "evaluating 50",
                                      .eta_ms = 3000,
                                      .eta_low_ms = 2000,
                                      .eta_high_ms = 4000,
                                      .due_ms = 1500};
    struct run_timing read;
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(run.estimate_due_ms, 0);
    assert_int_equal(txn_run_timing(txn, run.key, &read), 0);
    assert_true(!read.name[0] && !read.phases[0] && !read.phase_at_ms && !read.eta_ms);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_set_timing(txn, run.key, &timing), 0);
    assert_int_equal(txn_run_timing(txn, run.key, &read), 0);
    assert_string_equal(read.name, "switch");
    assert_string_equal(read.phases, "evaluating 50");
    assert_true(read.started_ms == 900 && read.phase_at_ms == 1000 && read.due_ms == 1500);
    assert_true(read.eta_ms == 3000 && read.eta_low_ms == 2000 && read.eta_high_ms == 4000);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.estimate_due_ms, 1500);
    return JOB_DONE;
}

static void see_eta(void *context, const struct run_details *row)
{
    ++*(int *)context;
    assert_true(row->eta_ms == 3000 && row->eta_low_ms == 2000 && row->eta_high_ms == 4000);
}

static void a_run_keeps_its_phases_and_its_expected_end(void **state)
{
    struct fixture *fixture = *state;
    int seen = 0;

    do_work(fixture, (struct work){.apply = time_a_run});
    assert_int_equal(store_run(fixture->store, "host", RUN, see_eta, &seen), 1);
    assert_int_equal(seen, 1);
}

static void see_order(void *context, const struct run_details *row)
{
    int *next = context;

    assert_int_equal(row->id[RUN_ID_SIZE - 2], '0' + (*next)++);
}

static void runs_stand_in_the_order_of_their_starts(void **state)
{
    struct fixture *fixture = *state;
    char id[RUN_ID_SIZE];
    int next = 0;

    do_work(fixture, (struct work){.apply = make_runs});
    assert_int_equal(store_runs(fixture->store, "host", NULL, 4, see_order, &next), 0);
    assert_int_equal(next, 4);
    assert_int_equal(store_runs(fixture->store, "host", "01900000-0000-7000-8000-000000000103", 50,
                                see_order, &next),
                     0);
    assert_int_equal(next, RUNS);
    assert_int_equal(store_run_of_host(fixture->store, "host", id), 1);
    assert_int_equal(id[RUN_ID_SIZE - 2], '0');
    assert_int_equal(store_run_of_host(fixture->store, "nobody", id), 0);
}

/* ---- retention ---- */

static size_t expired(struct fixture *fixture, struct retention_limits limits, int64_t now_ms)
{
    struct expired_run runs[RUNS];

    return store_runs_expired(fixture->store, &limits, now_ms, runs, RUNS);
}

static enum job_result expire(struct txn *txn, struct work *work)
{
    char host[HOST_ID_SIZE];
    struct run_row run;

    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    assert_int_equal(txn_run_hide(txn, run.key, host), 0);
    assert_string_equal(host, "host");
    assert_int_equal(txn_expire(txn, 0, txn->now_ms + 1, 10), 0); /* its text is still there */
    assert_int_equal(txn_log_remove(txn, run.key, 10), 1);
    assert_int_equal(txn_log_remove(txn, run.key, 10), 0);
    assert_int_equal(txn_expire(txn, 0, txn->now_ms + 1, 10), 1);
    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    assert_int_equal(run.key, 0);
    return JOB_DONE;
}

static void runs_expire_by_age_count_and_size(void **state)
{
    const struct retention_limits all = {
        .keep_ms = INT64_C(1000000000), .keep_runs = 1000, .keep_bytes = 1000000};
    struct fixture *fixture = *state;
    struct retention_limits limits = all;
    int64_t now_ms = do_work(fixture, (struct work){.apply = make_runs});

    assert_int_equal(expired(fixture, limits, now_ms), 0);
    limits.keep_ms = 2500;
    /* The age of a run counts from when the store heard of the run, not from the run's end. */
    assert_int_equal(expired(fixture, limits, now_ms), 0);
    assert_int_equal(expired(fixture, limits, now_ms + 3000), RUNS);
    limits = all;
    limits.keep_runs = 2;
    assert_int_equal(expired(fixture, limits, now_ms), 4);
    limits = all;
    limits.keep_bytes = 55;
    assert_int_equal(expired(fixture, limits, now_ms), 1);
    do_work(fixture, (struct work){.apply = expire, .run = "01900000-0000-7000-8000-000000000105"});
    assert_int_equal(expired(fixture, limits, now_ms), 0);
}

#define WINDOW_MS INT64_C(3600000)

static enum job_result add_calls(struct txn *txn, struct work *work)
{
    struct calls_row rows[] = {{.key = "b", .added = 2}, {.key = "a", .added = 1}};

    if (txn_calls_add(txn, work->bytes, rows, 2) < 0)
        return JOB_FAILED;
    assert_memory_equal(rows[0].key, "a", 2);
    assert_int_equal(rows[1].calls, 2 * rows[0].calls);
    assert_uint_in_range(rows[0].age_ms, 0, WINDOW_MS);
    work->result = rows[0].calls;
    return JOB_DONE;
}

static void a_shared_store_counts_calls_until_their_window_ends(void **state)
{
    struct fixture *fixture = *state;
    struct work work = {.apply = add_calls, .bytes = WINDOW_MS};

    if (!store_is_shared(fixture->store)) {
        assert_false(try_work(fixture, &work));
        return;
    }
    assert_int_equal(do_work(fixture, work), 1);
    assert_int_equal(do_work(fixture, work), 2);
    assert_int_equal(do_work(fixture, work), 3);
    work.bytes = 0; /* every window has ended */
    assert_int_equal(do_work(fixture, work), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_command_is_taken_once_and_a_stop_asks_the_run),
        WITH_STORE(a_history_keeps_its_newest_thousand_lines),
        WITH_STORE(a_session_ends_by_time_or_by_hand),
        WITH_STORE(a_shared_store_counts_calls_until_their_window_ends),
        WITH_STORE(a_run_that_has_ended_keeps_its_end),
        WITH_STORE(a_derivation_is_replaced_by_its_index_and_goes_with_its_run),
        WITH_STORE(the_log_of_a_derivation_is_spliced_and_goes_with_its_run),
        WITH_STORE(durations_are_kept_by_host_and_run_name_the_newest_ten_of_each),
        WITH_STORE(a_run_keeps_its_phases_and_its_expected_end),
        WITH_STORE(runs_stand_in_the_order_of_their_starts),
        WITH_STORE(runs_expire_by_age_count_and_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
