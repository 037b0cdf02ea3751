#include "dashboard/server/sharing.h"

#include <stdlib.h>

#include "common/io.h"
#include "common/worker.h"

#define PERIOD_MS 500
#define ROWS_MAX 512 /* windows in one statement */

struct sharing {
    struct store *store;
    struct ratelimit *limit;
    struct job job;
    struct calls_row rows[ROWS_MAX]; /* of the job */
    size_t count;
    struct worker worker; /* its lock protects the following fields */
    bool busy;            /* the store has the job */
    bool ok;              /* the last job was committed */
};

static enum job_result apply(struct txn *txn, void *context)
{
    struct sharing *sharing = context;

    return txn_calls_add(txn, RATELIMIT_WINDOW_MS, sharing->rows, sharing->count) < 0 ? JOB_FAILED
                                                                                      : JOB_DONE;
}

static void done(void *context, bool ok)
{
    struct sharing *sharing = context;

    worker_lock(&sharing->worker);
    sharing->busy = false;
    sharing->ok = ok;
    worker_wake(&sharing->worker);
    worker_unlock(&sharing->worker);
}

/* Returns whether the rows were stored. If they were not, the other servers do not learn of these
 * calls. */
static bool store_rows(struct sharing *sharing)
{
    bool ok;

    worker_lock(&sharing->worker);
    sharing->busy = true;
    sharing->job = (struct job){.apply = apply, .done = done, .context = sharing};
    store_submit(sharing->store, &sharing->job);
    while (sharing->busy)
        worker_wait(&sharing->worker, WORKER_FOREVER);
    ok = sharing->ok;
    worker_unlock(&sharing->worker);
    return ok;
}

static void share(struct sharing *sharing)
{
    do {
        sharing->count = ratelimit_claim(sharing->limit, monotonic_ms(), sharing->rows, ROWS_MAX);
        if (sharing->count && store_rows(sharing))
            ratelimit_learn(sharing->limit, monotonic_ms(), sharing->rows, sharing->count);
    } while (sharing->count == ROWS_MAX && !worker_stopping(&sharing->worker));
}

static void *run(void *context)
{
    struct sharing *sharing = context;

    while (!worker_stopping(&sharing->worker)) {
        struct timespec next = worker_in(PERIOD_MS);

        share(sharing);
        worker_lock(&sharing->worker);
        while (!sharing->worker.stopping && worker_wait_until(&sharing->worker, &next))
            ;
        worker_unlock(&sharing->worker);
    }
    return NULL;
}

struct sharing *sharing_start(struct store *store, struct ratelimit *limit)
{
    struct sharing *sharing = calloc(1, sizeof *sharing);

    if (!sharing)
        return NULL;
    sharing->store = store;
    sharing->limit = limit;
    worker_init(&sharing->worker);
    if (worker_start(&sharing->worker, run, sharing) == 0)
        return sharing;
    sharing_stop(sharing);
    return NULL;
}

void sharing_stop(struct sharing *sharing)
{
    if (!sharing)
        return;
    worker_stop(&sharing->worker);
    worker_destroy(&sharing->worker);
    free(sharing);
}
