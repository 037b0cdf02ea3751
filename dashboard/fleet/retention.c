#include "dashboard/fleet/retention.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/io.h"
#include "common/timed.h"

#define PERIOD_S 300
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define STEP_CHUNKS 64   /* removed in one transaction, */
#define STEP_ENTRIES 500 /* and lines of a history */
#define LOOK_MAX 1000    /* runs that one look finds; the next one comes at once then */
/* So long after its time a removed run is still answered with 410. */
#define FORGET_MS (90 * DAY_MS)

struct retention {
    struct store *store;
    struct retention_limits limits;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, busy;
    int64_t removed; /* rows that the last step removed; 0 when it failed */
    int64_t run;     /* of the step */
    struct job job;
};

/* ---- steps: on the writer's thread ---- */

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

    pthread_mutex_lock(&retention->lock);
    retention->busy = false;
    if (!ok)
        retention->removed = 0;
    pthread_cond_signal(&retention->wake);
    pthread_mutex_unlock(&retention->lock);
}

/* Returns the rows that it removed. */
static int64_t step(struct retention *retention, enum job_result (*apply)(struct txn *, void *))
{
    int64_t removed;

    pthread_mutex_lock(&retention->lock);
    retention->busy = true;
    retention->removed = 0;
    retention->job = (struct job){.apply = apply, .done = done, .context = retention};
    store_submit(retention->store, &retention->job);
    while (retention->busy)
        pthread_cond_wait(&retention->wake, &retention->lock);
    removed = retention->removed;
    pthread_mutex_unlock(&retention->lock);
    return removed;
}

/* ---- the thread ---- */

static bool stopping(struct retention *retention)
{
    bool is;

    pthread_mutex_lock(&retention->lock);
    is = retention->stopping;
    pthread_mutex_unlock(&retention->lock);
    return is;
}

/* True when there may be more. */
static bool clean(struct retention *retention)
{
    int64_t runs[LOOK_MAX];
    size_t count =
        store_runs_expired(retention->store, &retention->limits, wall_ms(), runs, LOOK_MAX);

    for (size_t i = 0; i < count && !stopping(retention); i++) {
        retention->run = runs[i];
        step(retention, hide_run);
        while (!stopping(retention) && step(retention, remove_chunks) > 0)
            ;
    }
    while (!stopping(retention) && step(retention, remove_history) >= STEP_ENTRIES)
        ;
    return count == LOOK_MAX;
}

static void *run(void *context)
{
    struct retention *retention = context;

    while (!stopping(retention)) {
        struct timespec until;

        if (clean(retention))
            continue;
        until = timed_in(PERIOD_S * 1000);
        pthread_mutex_lock(&retention->lock);
        while (!retention->stopping &&
               timed_wait(&retention->wake, &retention->lock, &until) != ETIMEDOUT)
            ;
        pthread_mutex_unlock(&retention->lock);
    }
    return NULL;
}

struct retention *retention_start(struct store *store, const struct retention_limits *limits)
{
    struct retention *retention = calloc(1, sizeof *retention);

    if (!retention)
        return NULL;
    retention->store = store;
    retention->limits = *limits;
    pthread_mutex_init(&retention->lock, NULL);
    timed_init(&retention->wake);
    if (pthread_create(&retention->thread, NULL, run, retention) == 0)
        return retention;
    free(retention);
    return NULL;
}

void retention_stop(struct retention *retention)
{
    if (!retention)
        return;
    pthread_mutex_lock(&retention->lock);
    retention->stopping = true;
    pthread_cond_signal(&retention->wake);
    pthread_mutex_unlock(&retention->lock);
    pthread_join(retention->thread, NULL);
    pthread_cond_destroy(&retention->wake);
    pthread_mutex_destroy(&retention->lock);
    free(retention);
}
