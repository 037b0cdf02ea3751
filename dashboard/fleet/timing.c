#include "dashboard/fleet/timing.h"

#include <string.h>

#include "dashboard/fleet/estimate.h"

#define PERIOD_MS 10000      /* between two estimates of a run that goes on */
#define DERIVATIONS_MS 200   /* the least between two because of derivations */
#define NEVER_MS INT64_MAX   /* no estimate until the phase changes */
#define LATE_MS 60000        /* an older report does not change the times of the phases */
#define CLOSED (-1)          /* phase_at_ms of a run whose durations are stored */
#define DERIVATIONS_MAX 2000 /* the most whose durations are stored: of one run, */
#define HOST_MAX 8000        /* and of one host, with its other durations */

static bool is_due(const struct txn *txn, const struct run_row *run,
                   const struct timing_report *report)
{
    if (report->phase_changed || report->ended || report->stopped || run->fresh)
        return true;
    if (run->ended)
        return false;
    return txn->now_ms >= run->estimate_due_ms ||
           (report->derivations && run->estimate_due_ms != NEVER_MS &&
            txn->now_ms >= run->estimate_due_ms - PERIOD_MS + DERIVATIONS_MS);
}

/* Adds the time since the last change to the phase that the run was in. */
static void note_phase(const struct txn *txn, const struct run_row *run,
                       const struct timing_report *report, struct run_timing *timing,
                       struct phase_times *times)
{
    int before = phase_index(run->phase);
    int64_t since = timing->phase_at_ms ? timing->phase_at_ms : timing->started_ms,
            at = report->ended || report->stopped ? report->ended_ms : report->at_ms;

    if (at > txn->now_ms)
        at = txn->now_ms;
    times->late |= txn->now_ms - at > LATE_MS || (run->fresh && txn->now_ms - since > LATE_MS);
    times->late |=
        !timing->phase_at_ms && !run->fresh; /* an older version took the first reports */
    if (at < since)
        at = since;
    if (before >= 0)
        times->ms[before] += at - since;
    timing->phase_at_ms = at;
}

/* ---- estimating ---- */

static void set_eta(struct run_timing *timing, int64_t now_ms, const struct estimate_left *left)
{
    timing->eta_ms = now_ms + left->ms;
    timing->eta_low_ms = now_ms + left->low_ms;
    timing->eta_high_ms = now_ms + left->high_ms;
}

/* The times of the phases, with the time so far in the present phase. */
static struct phase_times times_until(const struct run_timing *timing, int phase, int64_t now_ms,
                                      const struct phase_times *times)
{
    struct phase_times until = *times;

    if (now_ms > timing->phase_at_ms)
        until.ms[phase] += now_ms - timing->phase_at_ms;
    return until;
}

static int estimate_end(struct txn *txn, const struct run_row *run,
                        const struct timing_report *report, struct run_timing *timing,
                        const struct phase_times *times)
{
    struct estimate *estimate = estimate_new(txn->now_ms);
    int phase = phase_index(report->phase);
    struct estimate_left left = {0};
    enum estimate_answer answer = ESTIMATE_NONE;
    int failed = 0;

    timing->eta_ms = timing->eta_low_ms = timing->eta_high_ms = 0;
    timing->due_ms = NEVER_MS;
    if (estimate && timing->name[0] && phase >= 0)
        failed = txn_durations(txn, run->host, timing->name, estimate_history, estimate);
    if (estimate && !failed && estimate_knows(estimate)) {
        struct estimate_run now = {phase, times_until(timing, phase, txn->now_ms, times),
                                   report->built, report->to_build};

        failed = txn_derivations(txn, run->key, estimate_derivation, estimate);
        answer = estimate_remaining(estimate, &now, &left);
        timing->due_ms = txn->now_ms + PERIOD_MS;
    }
    if (answer != ESTIMATE_NONE)
        set_eta(timing, txn->now_ms, &left);
    estimate_free(estimate);
    return failed;
}

/* ---- remembering ---- */

/* The durations of a run that has ended. */
struct memory {
    struct txn *txn;
    const char *host, *name;
    struct estimate *builds;
    int64_t count, last_ms; /* derivations, and when the last of them ended */
    bool success, failed;
};

static void remember(struct memory *memory, const char *kind, const char *what, int64_t ms)
{
    if (ms > ESTIMATE_MAX_MS)
        ms = ESTIMATE_MAX_MS;
    if (!memory->failed &&
        txn_duration_add(memory->txn, memory->host, memory->name, kind, what, ms) < 0)
        memory->failed = true;
}

/* Only a derivation that was built has a useful duration. */
static bool is_known(const struct derivation_row *row)
{
    return strcmp(row->state, "built") == 0 && row->started_ms &&
           row->ended_ms >= row->started_ms && row->ended_ms - row->started_ms <= ESTIMATE_MAX_MS;
}

static void see_derivation(void *context, const struct derivation_row *row)
{
    struct memory *memory = context;

    estimate_derivation(memory->builds, row);
    if (is_known(row) && row->ended_ms > memory->last_ms)
        memory->last_ms = row->ended_ms;
}

static void remember_derivation(void *context, const struct derivation_row *row)
{
    struct memory *memory = context;
    char key[DERIVATION_KEY_SIZE];

    if (!is_known(row) || ++memory->count > DERIVATIONS_MAX)
        return;
    derivation_key(row->name, key);
    remember(memory, DURATION_DERIVATION, key, row->ended_ms - row->started_ms);
    if (memory->success)
        remember(memory, DURATION_AFTER, key, memory->last_ms - row->ended_ms);
}

static int remember_builds(struct memory *memory, int64_t key)
{
    int64_t at_once;

    if (txn_derivations(memory->txn, key, see_derivation, memory) < 0 ||
        txn_derivations(memory->txn, key, remember_derivation, memory) < 0)
        return -1;
    at_once = estimate_at_once(memory->builds);
    if (at_once)
        remember(memory, DURATION_BUILDS, BUILDS_AT_ONCE, at_once);
    return 0;
}

/* Notes the phases that past runs of this name had. */
static void note_seen(void *context, const struct duration_row *row)
{
    bool *seen = context;
    int phase = strcmp(row->kind, DURATION_PHASE) == 0 ? phase_index(row->what) : -1;

    if (phase >= 0)
        seen[phase] = true;
}

/* Stores 0 for a phase that this run did not have, so that the durations of one run have the same
 * position in all phases. */
static void remember_phases(struct memory *memory, const struct phase_times *times)
{
    bool seen[PHASE_COUNT] = {false};

    if (txn_durations(memory->txn, memory->host, memory->name, note_seen, seen) < 0)
        memory->failed = true;
    for (int i = 0; i < PHASE_COUNT; i++)
        if (seen[i] || times->ms[i] > 0)
            remember(memory, DURATION_PHASE, phase_label(i), times->ms[i]);
}

static int64_t building_ms(const struct phase_times *times)
{
    return times->ms[phase_index("fetching")] + times->ms[phase_index("building")];
}

static int remember_run(struct txn *txn, const struct run_row *run,
                        const struct timing_report *report, const struct run_timing *timing,
                        const struct phase_times *times)
{
    struct memory memory = {.txn = txn,
                            .host = run->host,
                            .name = timing->name,
                            .builds = estimate_new(txn->now_ms),
                            .success = report->success};

    if (!timing->name[0] || !memory.builds) {
        estimate_free(memory.builds);
        return 0;
    }
    memory.failed = remember_builds(&memory, run->key) < 0;
    estimate_free(memory.builds);
    if (report->success && !times->late) {
        remember(&memory, DURATION_BUILDS, BUILDS_EACH,
                 report->built > 0 ? building_ms(times) / report->built : 0);
        remember_phases(&memory, times);
    }
    return memory.failed || txn_durations_trim(txn, run->host, HOST_MAX) < 0 ? -1 : 0;
}

/* ---- reports ---- */

int timing_report(struct txn *txn, const struct run_row *run, const struct timing_report *report)
{
    struct run_timing timing;
    struct phase_times times;

    if (!is_due(txn, run, report))
        return 0;
    if (txn_run_timing(txn, run->key, &timing) < 0)
        return -1;
    if (timing.phase_at_ms == CLOSED)
        return 0;
    phases_read(timing.phases, &times);
    if (report->phase_changed || report->ended || report->stopped || run->fresh)
        note_phase(txn, run, report, &timing, &times);
    if (report->ended || report->stopped || run->ended) {
        timing.eta_ms = timing.eta_low_ms = timing.eta_high_ms = 0;
        timing.due_ms = NEVER_MS;
    } else if (estimate_end(txn, run, report, &timing, &times) < 0) {
        return -1;
    }
    if (report->ended) {
        if (remember_run(txn, run, report, &timing, &times) < 0)
            return -1;
        timing.phase_at_ms = CLOSED;
    }
    phases_write(&times, timing.phases, sizeof timing.phases);
    return txn_run_set_timing(txn, run->key, &timing);
}
