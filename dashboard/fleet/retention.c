#include "dashboard/fleet/retention.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/io.h"
#include "common/timed.h"
#include "dashboard/store/sqlite/commands.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/fleet/state.h"

#define PERIOD_S 300
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define STEP_CHUNKS 64   /* removed in one transaction, */
#define STEP_ENTRIES 500 /* and lines of a history */
#define LOOK_MAX 1000    /* runs that one look finds; the next one comes at once then */
/* So long after its time a removed run is still answered with 410. */
#define FORGET_MS (90 * DAY_MS)

struct retention {
    struct store *store;
    const struct dashboard_settings *settings;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, busy;
    int64_t changed; /* rows that the last step removed; 0 when it failed */
    int64_t run;     /* of the step */
    struct job job;
};

/* ---- steps: on the writer's thread ---- */

static enum job_result hide_run(struct txn *txn, void *context)
{
    struct retention *retention = context;
    sqlite3_stmt *find = txn_statement(txn, "SELECT host FROM runs WHERE k=?");
    char host[HOST_ID_SIZE] = "";

    if (statement_run(find, "i", retention->run) == SQLITE_ROW)
        snprintf(host, sizeof host, "%s", column_text(find, 0));
    if (find)
        sqlite3_reset(find);
    if (!fleet_run(txn, "UPDATE runs SET deleted=1, lines=0, stored=0 WHERE k=?", "i",
                   retention->run) ||
        host_settle(txn, host) < 0)
        return JOB_FAILED;
    txn_changed(txn, host, NULL);
    return JOB_DONE;
}

static enum job_result remove_chunks(struct txn *txn, void *context)
{
    struct retention *retention = context;

    if (!fleet_run(txn,
                   "DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE run=?1 LIMIT "
                   "?2)",
                   "ii", retention->run, (int64_t)STEP_CHUNKS))
        return JOB_FAILED;
    retention->changed = sqlite3_changes(txn->db);
    return JOB_DONE;
}

static enum job_result remove_history(struct txn *txn, void *context)
{
    struct retention *retention = context;
    int64_t oldest = txn->now_ms - retention->settings->history_days * DAY_MS,
            forgotten = txn->now_ms - retention->settings->keep_days * DAY_MS - FORGET_MS;

    if (!fleet_run(txn,
                   "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at<?1 LIMIT ?2)",
                   "ii", oldest, (int64_t)STEP_ENTRIES))
        return JOB_FAILED;
    retention->changed = sqlite3_changes(txn->db);
    if (!fleet_run(txn,
                   "DELETE FROM command_log WHERE id IN (SELECT id FROM command_log WHERE "
                   "created<?1 LIMIT ?2)",
                   "ii", oldest, (int64_t)STEP_ENTRIES))
        return JOB_FAILED;
    retention->changed += sqlite3_changes(txn->db);
    if (!fleet_run(txn,
                   "DELETE FROM runs WHERE k IN (SELECT k FROM runs WHERE deleted=1 AND "
                   "last_seen<?1 AND NOT EXISTS(SELECT 1 FROM chunks WHERE run=k) LIMIT ?2)",
                   "ii", forgotten, (int64_t)STEP_ENTRIES))
        return JOB_FAILED;
    retention->changed += sqlite3_changes(txn->db);
    return JOB_DONE;
}

static void done(void *context, bool ok)
{
    struct retention *retention = context;

    pthread_mutex_lock(&retention->lock);
    retention->busy = false;
    if (!ok)
        retention->changed = 0;
    pthread_cond_signal(&retention->wake);
    pthread_mutex_unlock(&retention->lock);
}

/* Returns the rows that it removed. */
static int64_t step(struct retention *retention, enum job_result (*apply)(struct txn *, void *))
{
    int64_t changed;

    pthread_mutex_lock(&retention->lock);
    retention->busy = true;
    retention->changed = 0;
    retention->job = (struct job){.apply = apply, .done = done, .context = retention};
    store_submit(retention->store, &retention->job);
    while (retention->busy)
        pthread_cond_wait(&retention->wake, &retention->lock);
    changed = retention->changed;
    pthread_mutex_unlock(&retention->lock);
    return changed;
}

/* ---- looking ---- */

/* Runs that are not open any more and are too old, or beyond their host's count, or older than the
 * newest runs that fill the space; and what was hidden and not removed before the server ended. */
static size_t look(struct retention *retention, int64_t runs[LOOK_MAX])
{
    const struct dashboard_settings *settings = retention->settings;
    int64_t now = wall_ms();
    size_t count = 0;
    sqlite3_stmt *find = store_statement(
        retention->store,
        "SELECT k FROM (SELECT k, ended, lost, last_seen,"
        " row_number() OVER (PARTITION BY host ORDER BY started DESC, k DESC) AS place,"
        " sum(stored) OVER (ORDER BY started DESC, k DESC) AS size FROM runs WHERE deleted=0)"
        " WHERE (ended IS NOT NULL OR lost=1 OR last_seen<?1) AND"
        " (coalesce(ended,last_seen)<?2 OR place>?3 OR size>?4)"
        " UNION ALL SELECT k FROM runs WHERE deleted=1 AND EXISTS(SELECT 1 FROM chunks WHERE run=k)"
        " LIMIT ?5");

    if (!find)
        return 0;
    statement_bind(find, "iiiii", now - STATE_LOST_MS, now - settings->keep_days * DAY_MS,
                   (int64_t)settings->keep_runs, (int64_t)settings->keep_mb << 20,
                   (int64_t)LOOK_MAX);
    while (sqlite3_step(find) == SQLITE_ROW && count < LOOK_MAX)
        runs[count++] = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    return count;
}

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
    size_t count = look(retention, runs);

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

struct retention *retention_start(struct store *store, const struct dashboard_settings *settings)
{
    struct retention *retention = calloc(1, sizeof *retention);

    if (!retention)
        return NULL;
    retention->store = store;
    retention->settings = settings;
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
