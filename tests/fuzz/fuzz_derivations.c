/* The derivations of a batch: any list is refused, or stored so that a retry changes nothing. What
   is stored is read back with states and times that the protocol allows, and the estimate of the
   remaining time takes it, whatever it is. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/utf8.h"
#include "dashboard/api/report.h"
#include "dashboard/fleet/estimate.h"

#define NOW INT64_C(1760000000000)
#define DEPTH 3
#define ROWS_MAX 10000

struct input {
    json_object *list;
    struct estimate *estimate;
    struct text seen; /* all that is stored, as text */
};

static struct store *store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static bool over;

static bool is_state(const char *state)
{
    static const char *const states[] = {"waiting", "building", "built", "failed", "fetched"};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i], state) == 0)
            return true;
    return false;
}

static void see(void *context, const struct derivation_row *row)
{
    struct input *input = context;

    if (row->n < 0 || row->n >= ROWS_MAX || !is_state(row->state) || row->lines < 0 ||
        row->started_ms < 0 || row->ended_ms < 0 || row->started_ms > NOW || row->ended_ms > NOW ||
        !utf8_valid(row->name, strlen(row->name)))
        abort();
    text_printf(&input->seen, "%lld %s %s %s %s %lld %lld %lld %lld\n", (long long)row->n,
                row->name, row->state, row->machine ? row->machine : "", row->step ? row->step : "",
                (long long)row->started_ms, (long long)row->ended_ms, (long long)row->line,
                (long long)row->lines);
    estimate_derivation(input->estimate, row);
}

static void estimate(struct input *input)
{
    static const char *const whats[] = {"running", "evaluating", "building", "switching"};
    struct estimate_run run = {
        .phase = phase_index("building"), .built = 1, .to_build = 1000000000};
    struct duration_row row = {
        .kind = DURATION_PHASE, .count = 3, .ms = {90000, 0, ESTIMATE_MAX_MS}};
    struct estimate_left left;

    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) {
        row.what = whats[i];
        estimate_history(input->estimate, &row);
    }
    row.kind = DURATION_DERIVATION;
    row.what = "linux";
    estimate_history(input->estimate, &row);
    row.kind = DURATION_BUILDS;
    row.what = BUILDS_EACH;
    estimate_history(input->estimate, &row);
    if (estimate_remaining(input->estimate, &run, &left) == ESTIMATE_LEFT &&
        (left.low_ms < 0 || left.low_ms > left.ms || left.ms > left.high_ms ||
         left.high_ms > ESTIMATE_MAX_MS))
        abort();
}

static enum job_result apply(struct txn *txn, void *context)
{
    struct input *input = context;
    const struct report report = {.derivations = input->list, .now_ms = NOW};
    struct text first;
    struct run_row run = {0};

    if (txn_run_create(txn, "host", "", &run) < 0 || builds_apply(txn, run.key, &report) < 0 ||
        txn_derivations(txn, run.key, see, input) < 0)
        abort();
    first = input->seen;
    input->seen = (struct text){0};
    if (builds_apply(txn, run.key, &report) < 0 || txn_derivations(txn, run.key, see, input) < 0 ||
        first.size != input->seen.size ||
        (first.size && memcmp(first.bytes, input->seen.bytes, first.size) != 0))
        abort(); /* a retry must change nothing */
    text_free(&first);
    estimate(input);
    return txn_builds_remove(txn, run.key) < 0 ? JOB_FAILED : JOB_DONE;
}

static void done(void *context, bool ok)
{
    (void)context;
    if (!ok)
        abort();
    pthread_mutex_lock(&lock);
    over = true;
    pthread_cond_signal(&finished);
    pthread_mutex_unlock(&lock);
}

static void submit(struct input *input)
{
    struct job job = {.apply = apply, .done = done, .context = input};

    over = false;
    store_submit(store, &job);
    pthread_mutex_lock(&lock);
    while (!over)
        pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
}

static void open_store(void)
{
    char dir[256], error[STORE_ERROR_SIZE];

    snprintf(dir, sizeof dir, "%s/derivations.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir) || !(store = store_open(dir, error)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct json_problem problem;
    struct input input = {0};

    if (json_read((const char *)bytes, size, DEPTH, &input.list, &problem) < 0)
        return 0;
    if (json_object_is_type(input.list, json_type_array) && builds_valid(input.list)) {
        if (!store)
            open_store();
        if (!(input.estimate = estimate_new(NOW)))
            abort();
        submit(&input);
        estimate_free(input.estimate);
        text_free(&input.seen);
    }
    json_object_put(input.list);
    return 0;
}
