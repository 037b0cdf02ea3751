/* The estimated remaining time of runs. A run is replayed on a clock that the test sets:
   fleet/timing gets the reports of the run in their order, as from the API. After half of the run,
   before the later reports, the test asks for the estimate. */
#include <inttypes.h>

#include "dashboard/fleet/phases.h"
#include "dashboard/fleet/timing.h"
#include "tests/unit/store_fixture.h"

#define WORLD 70 /* derivations of a configuration */
#define JOBS 4
#define EPOCH_MS INT64_C(1750000000000)
#define DAY_MS INT64_C(86400000)
#define STEP_MS 1000 /* a batch a second, as nixfleet-run sends them */
#define BEAT_MS 10000

/* ---- random numbers: the same in every test ---- */

static uint64_t seed;

static int64_t below(int64_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % (uint64_t)bound);
}

/* Adds noise to ms: about a normal distribution, with a standard deviation of `percent` percent. */
static int64_t noisy(int64_t ms, int64_t percent)
{
    int64_t sum = 0;

    for (int i = 0; i < 12; i++)
        sum += below(2001) - 1000; /* a sum of 12 has a standard deviation of 2000 */
    sum = ms + ms * sum / 2000 * percent / 100;
    return sum < ms / 4 ? ms / 4 : sum;
}

/* ---- a run ---- */

struct build {
    char name[32];
    int64_t started_ms, ended_ms; /* since the run's start */
};

struct recording {
    const char *host, *name;
    const char *phase[8];
    int64_t phase_ms[8]; /* how long each lasts */
    int phases;
    struct build build[WORLD];
    int builds;
    bool failed, late; /* late: the reports come two minutes after the events */
    bool ends_told;    /* nix's internal log has the ends of builds; nix's text has not */
    int64_t total_ms;
};

/* Seconds for building a package on a small server. */
static const int64_t package_s[] = {3, 5, 6, 8, 8, 12, 15, 20, 35, 60, 110, 180};

#define PACKAGES 24
#define FILES \
    (WORLD - 2) /* the end of the generated files (units, settings, scripts); two more follow */

/* A system: its derivations and their dependencies. Packages seldom depend on each other (or the
 * cache has all of them). Each unit depends on some packages, and the system on everything. */
struct world {
    int64_t ms[WORLD];
    int needs[WORLD][3]; /* indexes of earlier derivations; -1: none */
    int version[WORLD];
};

static void make_world(struct world *world)
{
    for (int i = 0; i < WORLD; i++) {
        int64_t s = i < PACKAGES ? package_s[below(sizeof package_s / sizeof *package_s)]
                    : i < FILES  ? 1 + below(2)
                                 : 4;

        world->ms[i] = s * 1000;
        world->version[i] = 1;
        for (int k = 0; k < 3; k++)
            world->needs[i][k] = i >= PACKAGES              ? (int)below(PACKAGES)
                                 : i > 0 && below(100) < 15 ? (int)below(i)
                                                            : -1;
    }
}

/* A new nixpkgs changes most packages, and a changed setting changes few packages. Derivations that
 * depend on a changed one must be built, too. */
static void update(struct world *world, bool *dirty)
{
    int64_t packages = below(2) ? 70 : 4;

    for (int i = 0; i < WORLD; i++) {
        dirty[i] = i >= FILES || below(100) < (i < PACKAGES ? packages : 15);
        world->version[i] += dirty[i];
        for (int k = 0; k < 3; k++)
            dirty[i] |= world->needs[i][k] >= 0 && dirty[world->needs[i][k]];
    }
}

/* The moment when all dependencies of derivation i are built; -1: not known yet. */
static int64_t ready_at(const struct world *world, const bool *dirty, const int64_t *ended, int i,
                        int64_t start_ms)
{
    int64_t ready = start_ms;

    for (int k = 0; k < 3; k++) {
        int need = world->needs[i][k];

        if (need >= 0 && dirty[need] && !ended[need])
            return -1;
        if (need >= 0 && ended[need] > ready)
            ready = ended[need];
    }
    for (int before = 0; i >= FILES && before < i; before++) {
        if (dirty[before] && !ended[before])
            return -1;
        if (ended[before] > ready)
            ready = ended[before];
    }
    return ready;
}

/* Builds as nix does: a derivation is built when its dependencies are, up to JOBS at the same time.
 * Returns the moment when everything is built. */
static int64_t schedule(struct recording *run, const struct world *world, const bool *dirty,
                        int64_t start_ms)
{
    int64_t free_ms[JOBS], ended[WORLD] = {0}, last = start_ms, load = noisy(1000, 8);

    for (int j = 0; j < JOBS; j++)
        free_ms[j] = start_ms;
    for (;;) {
        int64_t first = INT64_MAX;
        int job = 0, next = -1;

        for (int j = 1; j < JOBS; j++)
            job = free_ms[j] < free_ms[job] ? j : job;
        for (int i = 0; i < WORLD; i++) {
            int64_t ready = dirty[i] && !ended[i] ? ready_at(world, dirty, ended, i, start_ms) : -1;

            if (ready >= 0 && ready < first) {
                first = ready;
                next = i;
            }
        }
        if (next < 0)
            return last;
        if (free_ms[job] > first)
            first = free_ms[job];
        ended[next] = free_ms[job] = first + noisy(world->ms[next], 12) * load / 1000;
        if (ended[next] > last)
            last = ended[next];
        snprintf(run->build[run->builds].name, sizeof run->build[0].name, "package-%c%c-%d.%d",
                 'a' + next / 26, 'a' + next % 26, world->version[next], next);
        run->build[run->builds].started_ms = first;
        run->build[run->builds++].ended_ms = ended[next];
    }
}

static void add_phase(struct recording *run, const char *phase, int64_t ms)
{
    run->phase[run->phases] = phase;
    run->phase_ms[run->phases++] = ms;
    run->total_ms += ms;
}

static void record_switch(struct recording *run, const char *host, struct world *world,
                          bool ends_told)
{
    bool dirty[WORLD];

    *run = (struct recording){.host = host, .name = "switch", .ends_told = ends_told};
    update(world, dirty);
    add_phase(run, "", noisy(1500, 20));
    add_phase(run, "evaluating", noisy(18000, 15));
    add_phase(run, "building", 0);
    run->phase_ms[2] = schedule(run, world, dirty, run->total_ms) - run->total_ms;
    run->total_ms += run->phase_ms[2];
    add_phase(run, "activating", noisy(6000, 20));
    add_phase(run, "switching", noisy(9000, 25));
}

static void record_phases(struct recording *run, const char *host, const char *name)
{
    *run = (struct recording){.host = host, .name = name};
    add_phase(run, "", noisy(2000, 30));
    add_phase(run, "pulling", noisy(7000, 30));
    add_phase(run, "evaluating", noisy(25000, 15));
    if (below(3))
        add_phase(run, "fetching", noisy(40000, 25));
    add_phase(run, "testing", noisy(90000, 15));
}

static void record_script(struct recording *run, const char *host)
{
    *run = (struct recording){.host = host, .name = "backup"};
    add_phase(run, "", noisy(240000, 10));
}

/* ---- replaying ---- */

/* The replay of one run, and the estimate after half of the run. */
struct replay {
    struct work work;
    const struct recording *run;
    int number;
    int64_t start_ms, left_ms, low_ms, high_ms; /* left_ms: -1: no estimate */
};

static const char *phase_at(const struct recording *run, int64_t ms)
{
    int i = 0;

    for (; i < run->phases - 1 && ms >= run->phase_ms[i]; i++)
        ms -= run->phase_ms[i];
    return run->phase[i];
}

static const char *state_at(const struct recording *run, const struct build *build, int64_t ms)
{
    return ms < build->started_ms                    ? "waiting"
           : run->ends_told && ms >= build->ended_ms ? "built"
                                                     : "building";
}

/* Stores the builds whose state has changed since the last report. The first report of builds comes
 * when nix lists the builds, at the end of the evaluation. */
static bool tell_builds(struct txn *txn, int64_t key, const struct replay *replay,
                        int64_t before_ms, int64_t ms)
{
    const struct recording *run = replay->run;
    bool first = strcmp(phase_at(run, before_ms), "building") != 0, told = false;

    if (!run->builds || strcmp(phase_at(run, ms), "building") != 0)
        return false;
    for (int i = 0; i < run->builds; i++) {
        const struct build *build = &run->build[i];
        const char *state = state_at(run, build, ms);
        const struct derivation_row row = {
            .n = i,
            .name = build->name,
            .state = state,
            .started_ms = ms < build->started_ms ? 0 : replay->start_ms + build->started_ms,
            .ended_ms = strcmp(state, "built") == 0 ? replay->start_ms + build->ended_ms : 0,
            .line = -1};

        if (!first && strcmp(state, state_at(run, build, before_ms)) == 0)
            continue;
        assert_int_equal(txn_derivation_put(txn, key, &row), 0);
        told = true;
    }
    return told;
}

static void tell(struct txn *txn, struct replay *replay, struct run_row *row, int64_t before_ms,
                 int64_t ms)
{
    const struct recording *run = replay->run;
    bool ended = ms >= run->total_ms;
    const char *phase = ended ? "done" : phase_at(run, ms);
    struct run_update update = {.last_seen_ms = txn->now_ms,
                                .started_ms = replay->start_ms,
                                .interval_ms = BEAT_MS,
                                .name = run->name,
                                .phase = *phase ? phase : NULL};
    struct timing_report report = {.at_ms = txn->now_ms - (run->late ? 120000 : 0),
                                   .phase = phase,
                                   .phase_changed = strcmp(phase, row->phase) != 0,
                                   .built = -1,
                                   .to_build = -1,
                                   .ended = ended,
                                   .stopped = ended,
                                   .success = !run->failed,
                                   .ended_ms = txn->now_ms};

    report.derivations = tell_builds(txn, row->key, replay, before_ms, ms);
    if (run->builds && !run->ends_told && (ended || strcmp(phase, "building") == 0)) {
        report.built = 0;
        report.to_build = run->builds;
        for (int i = 0; i < run->builds; i++)
            report.built += ms >= run->build[i].ended_ms;
    }
    /* A report if something is new; otherwise only a heartbeat every BEAT_MS. */
    if (!row->fresh && !report.derivations && !report.phase_changed && !ended &&
        ms / BEAT_MS == before_ms / BEAT_MS)
        return;
    assert_int_equal(txn_run_update(txn, row->key, &update), 0);
    assert_int_equal(timing_report(txn, row, &report), 0);
}

static void ask(struct txn *txn, struct replay *replay, int64_t key)
{
    struct run_timing timing;

    assert_int_equal(txn_run_timing(txn, key, &timing), 0);
    replay->left_ms = timing.eta_ms ? timing.eta_ms - txn->now_ms : -1;
    replay->low_ms = timing.eta_low_ms - txn->now_ms;
    replay->high_ms = timing.eta_high_ms - txn->now_ms;
}

static enum job_result apply_replay(struct txn *txn, struct work *work)
{
    struct replay *replay = (struct replay *)work;
    const struct recording *run = replay->run;
    int64_t before = 0, half = run->total_ms / 2;
    struct run_row row;
    char id[RUN_ID_SIZE];

    snprintf(id, sizeof id, "01900000-0000-7000-8000-%012d", replay->number);
    txn->now_ms = replay->start_ms;
    assert_int_equal(txn_run_create(txn, run->host, id, &row), 0);
    for (int64_t ms = 0; before < run->total_ms; ms += STEP_MS) {
        if (before < half && ms >= half) {
            txn->now_ms = replay->start_ms + half;
            ask(txn, replay, row.key);
        }
        if (ms > run->total_ms)
            ms = run->total_ms;
        txn->now_ms = replay->start_ms + ms;
        tell(txn, replay, &row, before, ms);
        assert_int_equal(txn_run_find(txn, id, &row), 0);
        before = ms;
    }
    return JOB_DONE;
}

static struct replay replay(struct fixture *fixture, const struct recording *run)
{
    static int number;
    struct replay one = {.work = {.apply = apply_replay}, .run = run, .number = ++number};

    one.start_ms = EPOCH_MS + number * DAY_MS;
    assert_true(try_work(fixture, &one.work));
    return one;
}

/* ---- what must hold ---- */

static int by_size(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* The error in percent of the estimate after half of the run; without an estimate: 100. */
static int error_of(const struct replay *one)
{
    int64_t right = one->run->total_ms - one->run->total_ms / 2, error = one->left_ms - right;

    return one->left_ms < 0 ? 100 : (int)((error < 0 ? -error : error) * 100 / right);
}

#define KINDS 4
#define FLEETS 5
#define WARM_UP 4 /* runs of each kind that come first and do not count */
#define RUNS 52   /* runs of each fleet that count */

static void record(struct recording *run, int kind, const char *host, struct world *world)
{
    if (kind < 2)
        record_switch(run, host, world, kind == 0);
    else if (kind == 2)
        record_phases(run, host, "pull");
    else
        record_script(run, host);
}

static void assert_median_below(int percent, int *errors, int count, int within)
{
    qsort(errors, (size_t)count, sizeof *errors, by_size);
    print_message(
        "%d runs, error at half time: median %d %%, nine of ten below %d %%; %d in range\n", count,
        errors[count / 2], errors[count * 9 / 10], within);
    assert_true(errors[count / 2] < percent);
    assert_true(within > count / 2);
}

static bool is_within(const struct replay *one)
{
    int64_t right = one->run->total_ms - one->run->total_ms / 2;

    return one->low_ms <= right && right <= one->high_ms;
}

/* Writes the errors of the estimates for a fleet's runs, and how many runs ended within the
 * estimated range. */
static void replay_fleet(struct fixture *fixture, int fleet, int *errors, int *within)
{
    struct recording run;
    struct world world;
    char host[32];

    seed = (uint64_t)fleet;
    make_world(&world);
    for (int i = 0; i < KINDS * WARM_UP + RUNS; i++) {
        struct replay one;

        snprintf(host, sizeof host, "host-%d-%d", fleet, i % KINDS);
        record(&run, i % KINDS, host, &world);
        one = replay(fixture, &run);
        if (i < KINDS * WARM_UP)
            continue;
        *errors++ = error_of(&one);
        *within += is_within(&one);
        assert_true(one.low_ms <= one.left_ms && one.left_ms <= one.high_ms);
    }
}

static void the_same_holds_for_generated_runs_of_many_kinds(void **state)
{
    int errors[FLEETS * RUNS], within = 0;

    for (int fleet = 0; fleet < FLEETS; fleet++)
        replay_fleet(*state, fleet + 1, errors + fleet * RUNS, &within);
    assert_median_below(20, errors, FLEETS * RUNS, within);
}

/* ---- runs that were recorded ---- */

#define RECORDED "tests/corpus/timing/nix-build-2.8.0.txt"
#define RECORDED_MAX 64

/* Reads a recording; its first lines describe the format. Returns how many runs it has. */
static int read_recorded(struct recording *runs)
{
    FILE *file = fopen(RECORDED, "r");
    struct recording *run = NULL;
    char line[256], name[32];
    long long from, to;
    int count = 0;

    if (!file) {
        fail();
        return 0;
    }
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "run %lld", &from) == 1) {
            assert_true(count < RECORDED_MAX);
            run = &runs[count++];
            *run = (struct recording){.host = "recorded", .name = "build", .ends_told = true};
        } else if (run && sscanf(line, "phase %31s %lld", name, &from) == 2) {
            add_phase(run, phase_index(name) ? phase_label(phase_index(name)) : "", from);
        } else if (run && sscanf(line, "build %31s %lld %lld", name, &from, &to) == 3) {
            assert_true(run->builds < WORLD);
            snprintf(run->build[run->builds].name, sizeof name, "%s", name);
            run->build[run->builds].started_ms = from;
            run->build[run->builds++].ended_ms = to;
        } else {
            assert_int_equal(line[0], '#');
        }
    }
    fclose(file);
    return count;
}

static void at_half_time_of_fifty_recorded_runs_the_median_error_is_below_a_fifth(void **state)
{
    static struct recording runs[RECORDED_MAX];
    int count = read_recorded(runs), errors[RECORDED_MAX], counted = 0, within = 0;

    for (int i = 0; i < count; i++) {
        struct replay one = replay(*state, &runs[i]);

        if (i < WARM_UP)
            continue;
        errors[counted++] = error_of(&one);
        within += is_within(&one);
    }
    assert_true(counted >= 50);
    assert_median_below(20, errors, counted, within);
}

static void the_first_run_of_a_name_has_no_estimate(void **state)
{
    struct recording run;
    struct replay one;
    struct world world;

    seed = 1;
    make_world(&world);
    for (int kind = 0; kind < KINDS; kind++) {
        record(&run, kind, "new", &world);
        run.name = (const char *const[]){"a", "b", "c", "d"}[kind];
        one = replay(*state, &run);
        assert_int_equal(one.left_ms, -1);
        one = replay(*state, &run);
        assert_true(one.left_ms > 0);
        run.name = "";
        assert_int_equal(replay(*state, &run).left_ms, -1);
        assert_int_equal(replay(*state, &run).left_ms, -1);
    }
}

/* The stored durations of a host's runs, as text. */
struct kept {
    struct work work;
    const char *host;
    char text[2048];
    size_t size;
};

static void see_kept(void *context, const struct duration_row *row)
{
    struct kept *kept = context;

    kept->size +=
        (size_t)snprintf(kept->text + kept->size, sizeof kept->text - kept->size,
                         "%s %s %zu %" PRId64 "; ", row->kind, row->what, row->count, row->ms[0]);
    assert_true(kept->size < sizeof kept->text);
}

static enum job_result read_kept(struct txn *txn, struct work *work)
{
    struct kept *kept = (struct kept *)work;

    return txn_durations(txn, kept->host, "switch", see_kept, kept) < 0 ? JOB_FAILED : JOB_DONE;
}

static struct kept kept_of(struct fixture *fixture, const char *host)
{
    struct kept kept = {.work = {.apply = read_kept}, .host = host};

    assert_true(try_work(fixture, &kept.work));
    return kept;
}

static struct recording small_run(const char *host)
{
    struct recording run = {.host = host, .name = "switch", .ends_told = true, .builds = 1};

    add_phase(&run, "", 2000);
    add_phase(&run, "building", 9000);
    add_phase(&run, "switching", 4000);
    run.build[0] = (struct build){"a-1.2", 3000, 8000};
    return run;
}

static void only_what_succeeded_says_how_long_it_takes(void **state)
{
    struct recording run = small_run("fails");

    run.failed = true;
    (void)replay(*state, &run);
    assert_string_equal(kept_of(*state, "fails").text, "builds at once 1 1; derivation a 1 5000; ");
    run.ends_told = false; /* the derivation is still being built when the run ends */
    (void)replay(*state, &run);
    assert_string_equal(kept_of(*state, "fails").text, "builds at once 1 1; derivation a 1 5000; ");
}

static void what_was_delivered_late_says_nothing_about_phases(void **state)
{
    struct recording run = small_run("late");

    run.late = true;
    (void)replay(*state, &run);
    assert_string_equal(kept_of(*state, "late").text,
                        "after a 1 0; builds at once 1 1; derivation a 1 5000; ");
    run.late = false;
    (void)replay(*state, &run);
    assert_string_equal(kept_of(*state, "late").text,
                        "after a 2 0; builds at once 2 1; builds each 1 0; "
                        "derivation a 2 5000; phase building 1 9000; phase running 1 2000; "
                        "phase switching 1 4000; ");
}

static void a_phase_that_a_run_skips_counts_as_nothing(void **state)
{
    struct recording run = small_run("skips");

    (void)replay(*state, &run);
    run.builds = run.phases = 0;
    run.total_ms = 0;
    add_phase(&run, "", 2000);
    add_phase(&run, "switching", 4000);
    (void)replay(*state, &run);
    assert_string_equal(kept_of(*state, "skips").text,
                        "after a 1 0; builds at once 1 1; builds each 2 0; derivation a 1 "
                        "5000; phase building 2 0; phase running 2 2000; phase switching 2 4000; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            at_half_time_of_fifty_recorded_runs_the_median_error_is_below_a_fifth, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(the_same_holds_for_generated_runs_of_many_kinds, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(only_what_succeeded_says_how_long_it_takes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_delivered_late_says_nothing_about_phases, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_phase_that_a_run_skips_counts_as_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_first_run_of_a_name_has_no_estimate, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
