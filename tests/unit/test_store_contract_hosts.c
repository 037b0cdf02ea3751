/* What every engine of the store must do with hosts and their verdicts, through store.h alone. */
#include "dashboard/fleet/state.h"
#include "tests/unit/store_fixture.h"

/* ---- the host that runs belong to ---- */

static const char *const ids[] = {RUN, RUN_2};

static enum job_result make_two_runs(struct txn *txn, struct work *work)
{
    struct run_row runs[2];

    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(txn_run_create(txn, "host", ids[i], &runs[i]), 0);
    put_heartbeat(txn, runs[0].key, txn->now_ms - 5000, txn->now_ms - 60000);
    put_heartbeat(txn, runs[1].key, txn->now_ms - 5000, txn->now_ms - 50000);
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    return JOB_DONE;
}

struct shown {
    char run[RUN_ID_SIZE];
    int64_t last_seen_ms, run_seen_ms;
};

static void see_host(void *context, const struct host_row *row)
{
    struct shown *shown = context;

    snprintf(shown->run, sizeof shown->run, "%s", row->run.id);
    shown->last_seen_ms = row->last_seen_ms;
    shown->run_seen_ms = row->run.facts.last_seen_ms;
}

static void see_due(void *context, const char *host, const char *run)
{
    (void)host, (void)run;
    (*(int *)context)++;
}

/* Checks that the host shows this run, and that the clock changes the host's state after three
 * intervals, or up to early_ms earlier. */
static void check_host(struct fixture *fixture, const char *run, int64_t early_ms)
{
    struct shown shown = {0};
    int64_t due;
    int count = 0;

    assert_int_equal(store_host(fixture->store, "host", see_host, &shown), 1);
    assert_string_equal(shown.run, run);
    due = shown.run_seen_ms + STATE_INTERVALS * (int64_t)10000;
    assert_int_equal(store_hosts_due(fixture->store, due - early_ms - 1, due, see_due, &count), 0);
    assert_int_equal(count, 1);
}

/* The run `work->run` reports, work->from ms later. */
static enum job_result keepalive(struct txn *txn, struct work *work)
{
    struct run_facts facts = {.exists = true,
                              .interval_ms = 10000,
                              .started_ms = txn->now_ms - 50000,
                              .last_seen_ms = txn->now_ms + work->from};
    struct run_row run;

    txn->now_ms += work->from;
    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    put_heartbeat(txn, run.key, txn->now_ms, run.started_ms);
    work->result = txn_host_keepalive(txn, "host", work->run, &facts);
    return JOB_DONE;
}

static int64_t host_seen_ms(struct fixture *fixture)
{
    struct shown shown = {0};

    assert_int_equal(store_host(fixture->store, "host", see_host, &shown), 1);
    return shown.last_seen_ms;
}

static enum job_result refresh_host(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    return JOB_DONE;
}

static void a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would(void **state)
{
    struct fixture *fixture = *state;
    struct work work = {.apply = keepalive, .run = ids[1]};
    int64_t seen_ms;

    do_work(fixture, (struct work){.apply = make_two_runs});
    /* A report of a run that is not shown changes nothing here. */
    assert_int_equal(do_work(fixture, (struct work){.apply = keepalive, .run = ids[0]}), 0);
    /* A report of the shown run has the same result as a full refresh, except for times that may be
     * stored later. */
    seen_ms = host_seen_ms(fixture);
    assert_int_equal(do_work(fixture, (struct work){.apply = keepalive, .run = ids[1]}), 1);
    check_host(fixture, ids[1], 2 * STORE_KEEPALIVE_MS); /* its last report is 5 s old */
    work.from = STORE_KEEPALIVE_MS + 1;
    assert_int_equal(do_work(fixture, work), 1);
    assert_true(host_seen_ms(fixture) > seen_ms + STORE_KEEPALIVE_MS);
    check_host(fixture, ids[1], 0);
    do_work(fixture, (struct work){.apply = refresh_host});
    check_host(fixture, ids[1], 0);
}

/* ---- hosts ---- */

static enum job_result write_host(struct txn *txn, struct work *work)
{
    struct host_fields fields = {.host_type = "macos", .comment = "first", .poll_interval = 5};
    struct host_tests tests = {.total = 3, .passed = 3, .summary = "3/3 passed"};

    (void)work;
    assert_int_equal(txn_host_register(txn, "host", &fields), 1);
    assert_int_equal(txn_host_register(txn, "host", &fields), 0);
    fields.metrics = "{\"cpu\": 2}";
    assert_int_equal(txn_host_register(txn, "host", &fields), 0);
    assert_int_equal(txn_host_add(txn, "host", &fields), 0);
    assert_int_equal(txn_host_add(txn, "other", &fields), 1);
    assert_int_equal(txn_host_patch(txn, "host", &(struct host_fields){.last_fix_ms = 7}), 0);
    assert_int_equal(
        txn_host_status(txn, "host", "ok", &(struct host_fields){.current_generation = "g1"}), 0);
    assert_int_equal(txn_host_tests(txn, "host", &tests), 0);
    return JOB_DONE;
}

static void see_fields(void *context, const struct host_row *row)
{
    (*(int *)context)++;
    assert_string_equal(row->hostname, "host");
    assert_string_equal(row->host_type, "macos");
    assert_null(row->location);                 /* the host sent no location */
    assert_string_equal(row->comment, "first"); /* NULL keeps the stored comment */
    assert_string_equal(row->current_generation, "g1");
    assert_string_equal(row->test_status, "3/3 passed");
    assert_int_equal(row->poll_interval, 5);
    assert_int_equal(row->last_fix_ms, 7);
    assert_true(row->last_seen_ms > 0 && row->last_switch_ms == row->last_seen_ms);
    assert_false(row->run.facts.exists);
}

static enum job_result remove_host(struct txn *txn, struct work *work)
{
    struct host_facts facts;
    struct run_row run;

    work->result = txn_host_remove(txn, "host");
    assert_int_equal(txn_host_facts(txn, "host", &facts), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.key && run.deleted &&
                run.lines == 0); /* the answer to a late report says that the run is deleted */
    return JOB_DONE;
}

static void a_host_keeps_what_is_not_said_anew_and_goes_as_a_whole(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = write_host});
    assert_int_equal(store_host(fixture->store, "host", see_fields, &count), 1);
    assert_int_equal(store_host(fixture->store, "nobody", see_fields, &count), 0);
    assert_int_equal(count, 1);
    splice(fixture, 0, 2, "one\ntwo");
    assert_int_equal(do_work(fixture, (struct work){.apply = remove_host}), 1);
    assert_int_equal(do_work(fixture, (struct work){.apply = remove_host}), 0);
    assert_int_equal(count_hosts(fixture->store), 1);
}

static enum job_result set_tokens(struct txn *txn, struct work *work)
{
    char hash[STORE_HASH_SIZE];

    (void)work;
    assert_int_equal(txn_host_token(txn, "host", hash), 0);
    assert_int_equal(txn_host_set_token(txn, "host", "h1", false), 0);
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    assert_int_equal(txn_host_token(txn, "host", hash), 1);
    assert_string_equal(hash, "");
    assert_int_equal(txn_host_set_token(txn, "host", "h1", false), 1);
    assert_int_equal(txn_host_set_token(txn, "made", "h2", true), 1);
    return JOB_DONE;
}

static void tokens_belong_to_hosts(void **state)
{
    struct fixture *fixture = *state;
    char hash[STORE_HASH_SIZE];

    do_work(fixture, (struct work){.apply = set_tokens});
    assert_int_equal(store_host_token(fixture->store, "host", hash), 1);
    assert_string_equal(hash, "h1");
    assert_int_equal(store_host_token(fixture->store, "made", hash), 1);
    assert_int_equal(store_host_token(fixture->store, "nobody", hash), 0);
}

/* ---- verdicts ---- */

#define OLD_RUN "01900000-0000-7000-8000-0000000000a1"
#define NEW_RUN "01900000-0000-7000-8000-0000000000a2"

static void end_run(struct txn *txn, const char *id, const char *name, int64_t started_ms,
                    const char *outcome)
{
    struct run_update update = {.started_ms = started_ms,
                                .last_seen_ms = started_ms,
                                .interval_ms = 10000,
                                .name = name,
                                .finished = true,
                                .heartbeat = true};
    struct run_end end = {.ended_ms = started_ms + 1000,
                          .exit = "{}",
                          .outcome = outcome,
                          .error = "error: because",
                          .error_line = -1,
                          .authoritative = true};
    struct run_row run;

    assert_int_equal(txn_run_find(txn, id, &run), 0);
    if (!run.key)
        assert_int_equal(txn_run_create(txn, "host", id, &run), 0);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
    assert_int_equal(txn_run_verdict(txn, "host", id), 0);
}

static enum job_result end_runs(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    end_run(txn, NEW_RUN, "switch", 2000000, "failure");
    end_run(txn, OLD_RUN, "switch", 1000000,
            "success"); /* this run is older, but was delivered later: the verdict stays */
    end_run(txn, "01900000-0000-7000-8000-0000000000a3", "pull", 3000000, "success");
    end_run(txn, "01900000-0000-7000-8000-0000000000a4", "update", 4000000, "stopped");
    return JOB_DONE;
}

/* The agent reports the end of its command, which is also the run `end_well`. */
static enum job_result end_command(struct txn *txn, struct work *work)
{
    struct verdict_row row = {
        .name = "switch", .outcome = "failure", .started_ms = 5000000, .ended_ms = 5000001};

    (void)work;
    assert_int_equal(txn_verdict(txn, "host", &row), 0);
    return JOB_DONE;
}

static enum job_result end_well(struct txn *txn, struct work *work)
{
    (void)work;
    end_run(txn, "01900000-0000-7000-8000-0000000000a5", "switch", 5000000, "success");
    return JOB_DONE;
}

static enum job_result lose_run(struct txn *txn, struct work *work)
{
    struct run_update update = {.started_ms = 6000000,
                                .last_seen_ms = 6000000,
                                .interval_ms = 10000,
                                .name = "switch",
                                .heartbeat = true};
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_host_agent_seen(txn, "host"), 0);
    assert_int_equal(txn_runs_suspect(txn, "host", RUN),
                     0); /* the report came from the run itself */
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.suspect_ms, 0);
    assert_int_equal(txn_runs_suspect(txn, "host", NULL), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.suspect_ms, txn->now_ms);
    assert_int_equal(txn_host_refresh(txn, "host"),
                     0); /* the run is silent for over a day: crashed */
    return JOB_DONE;
}

struct seen_verdict {
    char name[32], outcome[16], run[RUN_ID_SIZE];
    int count;
};

static void see_verdict(void *context, const struct verdict_row *row)
{
    struct seen_verdict *seen = context;

    if (seen->count++ == 0) {
        snprintf(seen->name, sizeof seen->name, "%s", row->name);
        snprintf(seen->outcome, sizeof seen->outcome, "%s", row->outcome);
        snprintf(seen->run, sizeof seen->run, "%s", row->run);
    }
}

static void see_verdict_of_host(void *context, const struct host_row *row)
{
    see_verdict(context, &row->verdict);
}

static void assert_verdict(struct fixture *fixture, const char *name, const char *outcome,
                           const char *run)
{
    struct seen_verdict seen = {0};

    assert_int_equal(store_host(fixture->store, "host", see_verdict_of_host, &seen), 1);
    assert_string_equal(seen.name, name);
    assert_string_equal(seen.outcome, outcome);
    assert_string_equal(seen.run, run);
}

static void verdicts_are_of_the_last_run_of_each_name(void **state)
{
    struct fixture *fixture = *state;
    struct seen_verdict seen = {0};

    do_work(fixture, (struct work){.apply = end_runs});
    assert_verdict(fixture, "switch", "failure", NEW_RUN);
    assert_int_equal(store_verdicts(fixture->store, "host", see_verdict, &seen), 0);
    assert_int_equal(seen.count, 2); /* a run that was stopped has none */
    assert_string_equal(seen.name, "pull");
    do_work(fixture, (struct work){.apply = end_well});
    do_work(fixture, (struct work){.apply = end_command}); /* in the same millisecond */
    assert_verdict(fixture, "switch", "success", "01900000-0000-7000-8000-0000000000a5");
    do_work(fixture, (struct work){.apply = lose_run});
    assert_verdict(fixture, "switch", "crashed", RUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would),
        WITH_STORE(a_host_keeps_what_is_not_said_anew_and_goes_as_a_whole),
        WITH_STORE(tokens_belong_to_hosts),
        WITH_STORE(verdicts_are_of_the_last_run_of_each_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
