#include "dashboard/fleet/retention.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/fleet/clock.h"
#include "common/worker.h"

#define PERIOD_S 300
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define STEP_CHUNKS 64   /* chunks that are removed in one transaction */
#define STEP_ENTRIES 500 /* entries of a history that are removed in one transaction */
/* runs that one look finds; if there are as many, the next look follows at once */
#define LOOK_MAX 1000
/* The time for which a removed run is still answered with 410. */
#define FORGET_MS (90 * DAY_MS)
#define FOR_EVER_MS (INT64_C(100000) * DAY_MS)

struct retention {
    struct store *store;
    struct retention_limits limits;     /* of one look and its steps */
    struct retention_limits new_limits; /* protected by the worker's lock */
    struct clock_guard clock;
    bool distrusts;       /* the clock is not trusted, and this was logged */
    struct worker worker; /* its lock protects busy and removed */
    bool busy;            /* the store has a step */
    int64_t removed;      /* rows that the last step removed; 0 if it failed */
    int64_t run;          /* of the step */
    struct job job;
};

/* ---- steps, on the writer thread ---- */

static enum job_result hide_run(struct txn *txn, void *context)
{
    struct retention *retention = context;
    char host[HOST_ID_SIZE];

    if (txn_run_hide(txn, retention->run, host) < 0)
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
    return JOB_DONE;
}

static enum job_result remove_chunks(struct txn *txn, void *context)
{
    struct retention *retention = context;

    retention->removed = txn_log_remove(txn, retention->run, STEP_CHUNKS);
    return retention->removed < 0 ? JOB_FAILED : JOB_DONE;
}

static enum job_result remove_history(struct txn *txn, void *context)
{
    struct retention *retention = context;
    const struct retention_limits *limits = &retention->limits;

    retention->removed = txn_expire(txn, txn->now_ms - limits->keep_history_ms,
                                    txn->now_ms - limits->keep_ms - FORGET_MS, STEP_ENTRIES);
    return retention->removed < 0 ? JOB_FAILED : JOB_DONE;
}

static void done(void *context, bool ok)
{
    struct retention *retention = context;

    worker_lock(&retention->worker);
    retention->busy = false;
    if (!ok)
        retention->removed = 0;
    worker_wake(&retention->worker);
    worker_unlock(&retention->worker);
}

/* Runs a step. Returns the number of rows that it removed. */
static int64_t step(struct retention *retention, enum job_result (*apply)(struct txn *, void *))
{
    int64_t removed;

    worker_lock(&retention->worker);
    retention->busy = true;
    retention->removed = 0;
    retention->job = (struct job){.apply = apply, .done = done, .context = retention};
    store_submit(retention->store, &retention->job);
    while (retention->busy)
        worker_wait(&retention->worker, WORKER_FOREVER);
    removed = retention->removed;
    worker_unlock(&retention->worker);
    return removed;
}

/* ---- the thread ---- */

/* While the clock is not trusted, nothing counts as old. */
static void distrust_age(struct retention *retention)
{
    bool trusted =
        clock_guard_trusts(&retention->clock, store_now_ms(retention->store), monotonic_ms());

    if (!trusted)
        retention->limits.keep_ms = FOR_EVER_MS;
    if (!trusted && !retention->distrusts)
        log_line(LOG_WARNING,
                 "the clock of this machine has jumped, or is far from "
                 "the newest stored time: for 24 hours nothing is removed because of its "
                 "age");
    retention->distrusts = !trusted;
}

/* Removes what was found. True if there may be more. */
static bool clean(struct retention *retention)
{
    struct expired_run runs[LOOK_MAX];
    size_t count;

    worker_lock(&retention->worker);
    retention->limits = retention->new_limits;
    worker_unlock(&retention->worker);
    distrust_age(retention);
    count = store_runs_expired(retention->store, &retention->limits, store_now_ms(retention->store),
                               runs, LOOK_MAX);

    for (size_t i = 0; i < count && !worker_stopping(&retention->worker); i++) {
        retention->run = runs[i].key;
        step(retention, hide_run);
        while (!runs[i].lines_wait && !worker_stopping(&retention->worker) &&
               step(retention, remove_chunks) > 0)
            ;
    }
    while (retention->limits.keep_ms < FOR_EVER_MS && !worker_stopping(&retention->worker) &&
           step(retention, remove_history) >= STEP_ENTRIES)
        ;
    return count == LOOK_MAX;
}

static void *run(void *context)
{
    struct retention *retention = context;

    while (!worker_stopping(&retention->worker)) {
        struct timespec next;

        if (clean(retention))
            continue;
        next = worker_in(PERIOD_S * 1000);
        worker_lock(&retention->worker);
        while (!retention->worker.stopping && worker_wait_until(&retention->worker, &next))
            ;
        worker_unlock(&retention->worker);
    }
    return NULL;
}

struct retention *retention_start(struct store *store, const struct retention_limits *limits)
{
    struct retention *retention = calloc(1, sizeof *retention);
    int64_t newest_ms, jumped_ms;

    if (!retention)
        return NULL;
    retention->store = store;
    retention->new_limits = *limits;
    store_clock(store, &newest_ms, &jumped_ms);
    clock_guard_start(&retention->clock, newest_ms, jumped_ms, store_now_ms(retention->store),
                      monotonic_ms());
    worker_init(&retention->worker);
    if (worker_start(&retention->worker, run, retention) == 0)
        return retention;
    retention_stop(retention);
    return NULL;
}

void retention_set_limits(struct retention *retention, const struct retention_limits *limits)
{
    worker_lock(&retention->worker);
    retention->new_limits = *limits;
    worker_unlock(&retention->worker);
}

void retention_stop(struct retention *retention)
{
    if (!retention)
        return;
    worker_stop(&retention->worker);
    worker_destroy(&retention->worker);
    free(retention);
}
