/* The thread that submits small deletions to the writer, so that no batch waits long behind one. */
#include "retention.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "fleet.h"

#define PERIOD_S 300

struct retention {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, busy, removed;
    int64_t days, runs, bytes;
    struct job job;
};

static int64_t number(const char *variable, int64_t standard)
{
    const char *text = getenv(variable);
    char *end;
    long long value = text && *text ? strtoll(text, &end, 10) : -1;

    return value < 0 ? standard : value;
}

/* The runs that go now, oldest first. */
#define DOOMED                                                                              \
    "SELECT k FROM runs r WHERE deleted=0 AND (ended IS NOT NULL OR lost=1) AND "           \
    "(coalesce(ended,last_seen)<?1 OR"                                                      \
    " (SELECT count(*) FROM runs n WHERE n.host=r.host AND n.k>r.k AND n.deleted=0)>=?2 OR" \
    " (SELECT sum(stored) FROM runs)>?3) ORDER BY k LIMIT 20"

static enum job_result apply(struct txn *txn, void *context)
{
    struct retention *retention = context;
    int64_t oldest = txn->now_ms - retention->days * 24 * 3600 * 1000;

    if (!fleet_run(txn, "DELETE FROM chunks WHERE run IN (" DOOMED ")", "iii", oldest,
                   retention->runs, retention->bytes) ||
        !fleet_run(txn, "UPDATE runs SET deleted=1, lines=0, stored=0 WHERE k IN (" DOOMED ")",
                   "iii", oldest, retention->runs, retention->bytes))
        return JOB_FAILED;
    retention->removed = sqlite3_changes(txn->db) > 0;
    return JOB_DONE;
}

static void done(void *context, bool ok)
{
    struct retention *retention = context;

    pthread_mutex_lock(&retention->lock);
    retention->busy = false;
    retention->removed = ok && retention->removed;
    pthread_cond_signal(&retention->wake);
    pthread_mutex_unlock(&retention->lock);
}

static void *run(void *context)
{
    struct retention *retention = context;

    pthread_mutex_lock(&retention->lock);
    while (!retention->stopping) {
        struct timespec until;

        retention->busy = true;
        retention->removed = false;
        retention->job = (struct job){.apply = apply, .done = done, .context = retention};
        store_submit(retention->store, &retention->job);
        while (retention->busy)
            pthread_cond_wait(&retention->wake, &retention->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += retention->removed ? 1 : PERIOD_S;
        while (!retention->stopping &&
               pthread_cond_timedwait(&retention->wake, &retention->lock, &until) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&retention->lock);
    return NULL;
}

struct retention *retention_start(struct store *store)
{
    struct retention *retention = calloc(1, sizeof *retention);

    if (!retention)
        return NULL;
    retention->store = store;
    retention->days = number("NIXFLEET_KEEP_DAYS", 180);
    retention->runs = number("NIXFLEET_KEEP_RUNS", 500);
    retention->bytes = number("NIXFLEET_KEEP_MB", 20480) << 20;
    pthread_mutex_init(&retention->lock, NULL);
    pthread_cond_init(&retention->wake, NULL);
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
    free(retention);
}
