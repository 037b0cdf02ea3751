/* All states of hosts and runs, and the moment at which the clock alone changes the state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dashboard/fleet/state.h"
#include "dashboard/fleet/verdict.h"

#define START INT64_C(1000000)

/* A host with an agent. */
static const struct host_facts *agent(int64_t last_seen_ms)
{
    static struct host_facts host;

    host = (struct host_facts){.last_seen_ms = last_seen_ms, .agent_seen_ms = last_seen_ms};
    return &host;
}

static struct run_facts open_run(void)
{
    return (struct run_facts){.exists = true,
                              .heartbeats = true,
                              .started_ms = START,
                              .last_seen_ms = START,
                              .interval_ms = 10000};
}

static void an_open_run_is_busy_for_three_intervals_then_stale_then_crashed(void **state)
{
    struct run_facts run = open_run();

    (void)state;
    assert_int_equal(state_of_run(&run, START), RUN_BUSY);
    assert_int_equal(state_of_run(&run, START + 29999), RUN_BUSY);
    assert_int_equal(state_of_run(&run, START + 30000), RUN_STALE);
    assert_int_equal(state_of_run(&run, START + STATE_LOST_MS - 1), RUN_STALE);
    assert_int_equal(state_of_run(&run, START + STATE_LOST_MS), RUN_CRASHED);
}

static void lost_is_crashed_at_once_and_an_end_outranks_it(void **state)
{
    struct run_facts run = open_run();

    (void)state;
    run.lost = true;
    assert_int_equal(state_of_run(&run, START), RUN_CRASHED);
    run.ended = true;
    assert_int_equal(state_of_run(&run, START), RUN_FINISHED);
}

static void busy_outranks_a_host_that_was_not_seen(void **state)
{
    struct run_facts run = open_run();
    int64_t since;

    (void)state;
    assert_int_equal(state_of_host(agent(0), &run, START + 1, &since), HOST_BUSY);
    assert_int_equal(since, START);
    assert_int_equal(state_of_host(agent(1), &run, START + 40000, &since), HOST_STALE);
    assert_int_equal(since, START + 30000);
}

static void a_host_without_an_open_run_is_idle_then_offline(void **state)
{
    struct run_facts none = {0};
    int64_t since;

    (void)state;
    assert_int_equal(state_of_host(agent(START), &none, START + 1, &since), HOST_IDLE);
    assert_int_equal(state_of_host(agent(START), &none, START + STATE_OFFLINE_MS, &since),
                     HOST_OFFLINE);
    assert_int_equal(state_of_host(agent(0), &none, START, &since), HOST_OFFLINE);
}

static void a_host_without_an_agent_is_never_offline_once_it_was_heard(void **state)
{
    struct host_facts host = {.last_seen_ms = START};
    struct run_facts none = {0};
    int64_t since;

    (void)state;
    assert_int_equal(state_of_host(&host, &none, START + STATE_LOST_MS, &since), HOST_IDLE);
    assert_int_equal(since, START);
    assert_false(host_reachable(&host, START + 1));
    assert_true(host_reachable(agent(START), START + 1));
    assert_false(host_reachable(agent(START), START + STATE_OFFLINE_MS));
}

static void a_run_without_heartbeats_ends_by_itself(void **state)
{
    struct run_facts run = open_run();
    int64_t since;

    (void)state;
    run.heartbeats = false;
    assert_int_equal(state_of_run(&run, START + 29999), RUN_BUSY);
    assert_int_equal(state_of_run(&run, START + 30000), RUN_FINISHED);
    assert_int_equal(state_of_run(&run, START + STATE_LOST_MS), RUN_FINISHED);
    assert_int_equal(state_of_host(agent(START), &run, START + 30000, &since), HOST_IDLE);
    assert_int_equal(since, START);
}

static void a_silent_run_on_a_host_that_is_heard_has_crashed(void **state)
{
    struct run_facts run = open_run();

    (void)state;
    run.suspect_ms = START + 40000;
    assert_int_equal(state_of_run(&run, START + 59999), RUN_STALE);
    assert_int_equal(state_of_run(&run, START + 60000), RUN_CRASHED);
    run.last_seen_ms = START + 55000; /* a heartbeat came after the suspicion */
    run.suspect_ms = 0;
    assert_int_equal(state_of_run(&run, START + 60000), RUN_BUSY);
}

static void the_verdict_that_counts(const struct verdict_row *rows, size_t count, const char *name)
{
    int index = verdict_of_host(rows, count);

    assert_true(index >= 0);
    assert_string_equal(rows[index].name, name);
}

static void a_failed_switch_counts_until_a_switch_succeeds(void **state)
{
    struct verdict_row rows[] = {
        {.name = "switch", .outcome = "failure", .started_ms = 100},
        {.name = "pull", .outcome = "success", .started_ms = 200},
        {.name = "update", .outcome = "failure", .started_ms = 150},
        {.name = "sh", .outcome = "failure", .started_ms = 50},
    };

    (void)state;
    assert_int_equal(verdict_of_host(rows, 0), -1);
    the_verdict_that_counts(rows, 4, "switch");
    rows[0].outcome = "units_failed";
    the_verdict_that_counts(rows, 4, "switch");
    rows[0].outcome = "success";
    the_verdict_that_counts(rows, 4,
                            "update"); /* the failed update counts until an update succeeds */
    rows[2].outcome = "success";
    the_verdict_that_counts(rows, 4, "pull"); /* an ad hoc command counts until the next run */
    rows[3].started_ms = 300;
    the_verdict_that_counts(rows, 4, "sh");
    rows[0] = (struct verdict_row){.name = "switch", .outcome = "failure", .started_ms = 100};
    rows[1] = (struct verdict_row){.name = "boot", .outcome = "success", .started_ms = 101};
    /* this success has replaced the system after the failure */
    the_verdict_that_counts(rows, 2, "boot");
}

/* state_changes_at promises: before that moment the state stays the same, and at that moment the
 * state is another one. */
static void the_state_changes_exactly_when_state_changes_at_says(void **state)
{
    struct run_facts runs[6] = {{0}, open_run(), open_run(), open_run(), open_run(), open_run()};

    (void)state;
    runs[2].ended = true;
    runs[3].lost = true;
    runs[4].heartbeats = false;
    runs[5].suspect_ms = START + 35000;
    for (int i = 0; i < 6; i++) {
        int64_t now = START, since;

        for (int step = 0; step < 5; step++) {
            int64_t at = state_changes_at(agent(START), &runs[i], now);
            enum host_state before = state_of_host(agent(START), &runs[i], now, &since);

            if (at == INT64_MAX)
                break;
            assert_true(at > now);
            assert_int_equal(state_of_host(agent(START), &runs[i], at - 1, &since), before);
            assert_int_not_equal(state_of_host(agent(START), &runs[i], at, &since), before);
            now = at;
        }
        assert_int_equal(state_changes_at(agent(START), &runs[i], now), INT64_MAX);
    }
}

static void a_busy_run_outranks_others_and_then_the_one_with_the_latest_report(void **state)
{
    struct run_facts silent = open_run(), live = open_run(), over = open_run(), lost = open_run();
    int64_t now = START + 100000;

    (void)state;
    live.started_ms = START - 1000;
    live.last_seen_ms = now - 1000;
    over.started_ms = START + 5000;
    over.ended = true;
    lost.started_ms = START - 5000;
    lost.last_seen_ms = now;
    lost.lost = true;
    assert_true(run_outranks(&live, &over, now));
    assert_false(run_outranks(&over, &live, now));
    assert_true(run_outranks(&over, &silent, now)); /* it began after the other run became silent */
    silent.last_seen_ms = START + 6000;
    assert_true(run_outranks(&silent, &over, now));
    /* a crashed run counts from its start, even if its crash is reported late */
    assert_true(run_outranks(&over, &lost, now));
    assert_false(run_outranks(&over, &over, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_run_is_busy_for_three_intervals_then_stale_then_crashed),
        cmocka_unit_test(lost_is_crashed_at_once_and_an_end_outranks_it),
        cmocka_unit_test(busy_outranks_a_host_that_was_not_seen),
        cmocka_unit_test(a_host_without_an_open_run_is_idle_then_offline),
        cmocka_unit_test(a_host_without_an_agent_is_never_offline_once_it_was_heard),
        cmocka_unit_test(a_run_without_heartbeats_ends_by_itself),
        cmocka_unit_test(a_silent_run_on_a_host_that_is_heard_has_crashed),
        cmocka_unit_test(a_failed_switch_counts_until_a_switch_succeeds),
        cmocka_unit_test(the_state_changes_exactly_when_state_changes_at_says),
        cmocka_unit_test(a_busy_run_outranks_others_and_then_the_one_with_the_latest_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
