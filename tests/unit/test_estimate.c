/* How long a run will still take: phases, derivations, and what is not known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "cmocka_versions.h"

#include "dashboard/fleet/estimate.h"

#define NOW INT64_C(1750000000000)

static void a_derivation_is_known_without_its_version(void **state)
{
    static const struct {
        const char *name, *key;
    } names[] = {
        {"linux-6.6.32", "linux"},
        {"linux-6.6.32-modules", "linux-modules"},
        {"python3.11-requests-2.31.0", "python3.11-requests"},
        {"firefox-121.0.source.tar.xz", "firefox.source.tar.xz"},
        {"patch-4.4.tar.bz2", "patch.tar.bz2"},
        {"nixos-system-hsb0-24.11.20241201.abc1234", "nixos-system-hsb0"},
        {"foo-0-unstable-2024-01-02", "foo-unstable"},
        {"unit-nginx.service", "unit-nginx.service"},
        {"home-manager-generation", "home-manager-generation"},
        {"7zip-23.01", "7zip"},
        {"1.2.3", "1.2.3"},
        {"-1-", ""},
        {"", ""},
    };
    char key[DERIVATION_KEY_SIZE], name[400];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        derivation_key(names[i].name, key);
        assert_string_equal(key, names[i].key);
    }
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    derivation_key(name, key);
    assert_int_equal(strlen(key), DERIVATION_KEY_SIZE - 1);
}

static void the_times_of_phases_are_written_and_read(void **state)
{
    struct phase_times times = {.ms = {1500, 0, 0, 3000, 0, INT64_C(99999999999999)}}, read;
    char text[RUN_PHASES_SIZE];

    (void)state;
    phases_write(&times, text, sizeof text);
    assert_string_equal(text, "running 1500 evaluating 3000 building 99999999999999");
    phases_read(text, &read);
    assert_memory_equal(&read, &times, sizeof read);
    for (int i = 0; i < PHASE_COUNT; i++)
        times.ms[i] = INT64_MAX;
    times.late = true;
    phases_write(&times, text, sizeof text);
    phases_read(text, &read);
    assert_memory_equal(&read, &times, sizeof read);
    phases_read("evaluating -5 of_the_future 7 building x", &read);
    assert_memory_equal(&read, &(struct phase_times){0}, sizeof read);
}

/* ---- estimates ---- */

static struct estimate *estimate;

/* Adds history: the durations of one thing in past runs, in seconds, newest first; -1 ends them. */
static void past(const char *kind, const char *what, const int64_t *seconds)
{
    struct duration_row row = {.kind = kind, .what = what};

    for (; seconds[row.count] >= 0; row.count++)
        row.ms[row.count] = seconds[row.count] * 1000;
    estimate_history(estimate, &row);
}

#define PAST(kind, what, ...) past(kind, what, (const int64_t[]){__VA_ARGS__, -1})

/* Adds a derivation. began, ended: how many seconds ago; -1: not yet. */
static void derivation(const char *name, const char *status, int64_t began, int64_t ended)
{
    const struct derivation_row row = {.name = name,
                                       .state = status,
                                       .started_ms = began < 0 ? 0 : NOW - began * 1000,
                                       .ended_ms = ended < 0 ? 0 : NOW - ended * 1000};

    estimate_derivation(estimate, &row);
}

/* Asks for a run that was in earlier phases for `before` s, and is in this phase for `now` s. */
static enum estimate_answer ask(const char *phase, int64_t before, int64_t now,
                                struct estimate_left *left)
{
    struct estimate_run run = {.phase = phase_index(phase), .built = -1, .to_build = -1};
    enum estimate_answer answer;

    run.times.ms[phase_index("evaluating")] = before * 1000;
    run.times.ms[run.phase] = now * 1000;
    answer = estimate_remaining(estimate, &run, left);
    estimate_free(estimate);
    estimate = estimate_new(NOW);
    return answer;
}

static int begin(void **state)
{
    (void)state;
    estimate = estimate_new(NOW);
    return !estimate;
}

static int end(void **state)
{
    (void)state;
    estimate_free(estimate);
    return 0;
}

/* Adds history: past runs built up to this many derivations at one time. */
static void at_once(int64_t most)
{
    const struct duration_row row = {
        .kind = DURATION_BUILDS, .what = BUILDS_AT_ONCE, .count = 2, .ms = {1, most}};

    estimate_history(estimate, &row);
}

static void without_history_nothing_is_estimated(void **state)
{
    struct estimate_left left;

    (void)state;
    assert_int_equal(ask("building", 5, 5, &left), ESTIMATE_NONE);
    derivation("a", "waiting", -1, -1);
    assert_int_equal(ask("building", 5, 5, &left), ESTIMATE_NONE);
    PAST(DURATION_DERIVATION, "a", 10); /* from a run that failed */
    derivation("a", "waiting", -1, -1);
    assert_int_equal(ask("building", 5, 5, &left), ESTIMATE_NONE);
    PAST(DURATION_PHASE, "pulling", 10); /* no past run was in the phase "building" */
    assert_int_equal(ask("building", 5, 5, &left), ESTIMATE_NONE);
}

static void phases_that_are_left_take_what_they_took(void **state)
{
    struct estimate_left left;

    (void)state;
    PAST(DURATION_PHASE, "evaluating", 10, 10, 10);
    PAST(DURATION_PHASE, "building", 100, 90, 110);
    PAST(DURATION_PHASE, "switching", 20, 20, 20);
    assert_int_equal(ask("building", 10, 40, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 80000);
    assert_true(left.low_ms < 75000 && left.high_ms > 85000 && left.low_ms > 50000);

    /* This run already takes longer than two of three past runs, so the third one counts. */
    PAST(DURATION_PHASE, "building", 100, 90, 200);
    assert_int_equal(ask("building", 0, 120, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 80000);

    /* With only one past run, the range is wide. */
    PAST(DURATION_PHASE, "", 100);
    assert_int_equal(ask("", 0, 20, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 80000);
    assert_true(left.low_ms <= 55000 && left.high_ms >= 105000);
}

static void a_run_that_takes_longer_than_any_is_overdue(void **state)
{
    struct estimate_left left;

    (void)state;
    PAST(DURATION_PHASE, "building", 100, 90);
    PAST(DURATION_PHASE, "switching", 20, 20);
    /* only a little longer than any past run */
    assert_int_equal(ask("building", 0, 110, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 20000);
    PAST(DURATION_PHASE, "building", 100, 90);
    PAST(DURATION_PHASE, "switching", 20, 20);
    assert_int_equal(ask("building", 0, 140, &left), ESTIMATE_OVERDUE);
}

static void builds_that_are_left_are_counted(void **state)
{
    struct estimate_left left;

    (void)state;
    /* the derivations of this run count, not the time that others took to build */
    PAST(DURATION_PHASE, "building", 1000, 1000, 1000);
    PAST(DURATION_PHASE, "switching", 20, 20, 20);
    PAST(DURATION_DERIVATION, "linux", 300, 280, 320);
    PAST(DURATION_DERIVATION, "etc", 2, 2, 2);
    derivation("linux-6.7", "building", 100, -1);
    derivation("etc", "waiting", -1, -1);
    assert_int_equal(ask("building", 0, 100, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 200000 + 2000 + 20000); /* one build at a time */

    PAST(DURATION_PHASE, "building", 10, 10, 10);
    PAST(DURATION_DERIVATION, "a", 100, 100, 100);
    PAST(DURATION_DERIVATION, "slow", 260, 260, 260);
    at_once(4);
    for (int i = 0; i < 8; i++)
        derivation("a-1", "waiting", -1, -1);
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 225000); /* 200 s at least, 275 s at most */

    /* The run takes at least as long as its slowest derivation. */
    PAST(DURATION_PHASE, "building", 10, 10, 10);
    PAST(DURATION_DERIVATION, "a", 100, 100, 100);
    PAST(DURATION_DERIVATION, "slow", 260, 260, 260);
    at_once(4);
    derivation("slow", "waiting", -1, -1);
    derivation("a", "waiting", -1, -1);
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 260000 + 25000 / 3);

    /* In each past run, at least 30 s of builds came after "a", because they need "a". The estimate
     * is never longer than building one by one. */
    PAST(DURATION_PHASE, "building", 10, 10, 10);
    PAST(DURATION_DERIVATION, "a", 100, 100, 100);
    PAST(DURATION_DERIVATION, "b", 20, 20, 20);
    PAST(DURATION_AFTER, "a", 90, 30, 300);
    at_once(4);
    derivation("a", "building", 40, -1);
    derivation("b", "waiting", -1, -1);
    derivation("b", "waiting", -1, -1);
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 90000 + 2500 / 3);
    PAST(DURATION_PHASE, "building", 10, 10, 10);
    PAST(DURATION_DERIVATION, "a", 100, 100, 100);
    PAST(DURATION_AFTER, "a", 90, 30, 300);
    derivation("a", "building", 40, -1);
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 60000);
}

static void builds_at_one_time_are_counted(void **state)
{
    (void)state;
    assert_int_equal(estimate_at_once(estimate), 0);
    derivation("a", "built", 100, 50);
    derivation("b", "built", 50, 20); /* begins when "a" ends */
    assert_int_equal(estimate_at_once(estimate), 1);
    derivation("c", "built", 60, 40);
    derivation("d", "built", 45, 45);
    derivation("e", "failed", 100, 10);
    assert_int_equal(estimate_at_once(estimate), 2);
    derivation("f", "built", 90, 30);
    assert_int_equal(estimate_at_once(estimate), 3);
}

static void a_new_derivation_takes_what_those_of_its_run_take(void **state)
{
    struct estimate_left left;

    (void)state;
    PAST(DURATION_PHASE, "building", 10, 10, 10);
    PAST(DURATION_DERIVATION, "a", 500, 500, 500);
    derivation("x", "built", 100, 90);
    derivation("y", "built", 90, 80);
    derivation("z", "failed", 80, 20); /* a failed build does not count */
    derivation("new", "waiting", -1, -1);
    assert_int_equal(ask("building", 0, 80, &left), ESTIMATE_LEFT);
    assert_true(left.ms >= 10000 && left.ms < 30000);
}

static void only_numbers_are_known(void **state)
{
    struct estimate_run run = {.phase = phase_index("building"), .built = 4, .to_build = 10};
    struct estimate_left left;

    (void)state;
    PAST(DURATION_PHASE, "building", 100, 100, 100);
    PAST(DURATION_BUILDS, BUILDS_EACH, 10, 10, 10); /* ten builds in each past run */
    run.times.ms[run.phase] = 40000;
    assert_int_equal(estimate_remaining(estimate, &run, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 60000);
}

static void no_time_is_negative(void **state)
{
    struct estimate_left left;

    (void)state;
    PAST(DURATION_PHASE, "building", 10, 10);
    PAST(DURATION_DERIVATION, "a", 10, 10);
    derivation("a", "building", -50, -1); /* begins in the future */
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_LEFT);
    assert_int_equal(left.ms, 10000);
    assert_true(left.low_ms >= 0 && left.low_ms <= left.ms && left.ms <= left.high_ms);
    PAST(DURATION_PHASE, "building", 0, 0);
    assert_int_equal(ask("building", 0, 0, &left), ESTIMATE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_derivation_is_known_without_its_version),
        cmocka_unit_test(the_times_of_phases_are_written_and_read),
        cmocka_unit_test(without_history_nothing_is_estimated),
        cmocka_unit_test(phases_that_are_left_take_what_they_took),
        cmocka_unit_test(a_run_that_takes_longer_than_any_is_overdue),
        cmocka_unit_test(builds_that_are_left_are_counted),
        cmocka_unit_test(builds_at_one_time_are_counted),
        cmocka_unit_test(a_new_derivation_takes_what_those_of_its_run_take),
        cmocka_unit_test(only_numbers_are_known),
        cmocka_unit_test(no_time_is_negative),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
