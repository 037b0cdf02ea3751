/* Opens and closes the store; the writer thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/store/postgres/partitions.h"
#include "dashboard/store/postgres/postgres.h"
#include "dashboard/store/sql/damage.h"

#define GROUP_MAX 200 /* jobs in one transaction, which holds its locks until its end */
#define OPEN_MS 15000
#define PAUSE_FIRST_MS 250
#define PAUSE_MAX_MS 1000

static void *write_groups(void *context);

/* ---- opening ---- */

static void free_store(struct store *store)
{
    worker_destroy(&store->jobs.writer);
    connection_free(store->writer);
    pool_free(store->pool);
    changes_free(&store->changes);
    damage_free(store->sql.damage);
    free(store->url);
    free(store);
}

static void make_node(char node[NODE_SIZE])
{
    snprintf(node, NODE_SIZE, "%08x%08x", arc4random(), arc4random());
}

static struct store *make_store(const char *url)
{
    struct store *store = calloc(1, sizeof *store);

    if (!store)
        return NULL;
    store->sql = (struct sql_store){{&postgres_engine}, &pg_driver, damage_new()};
    jobs_init(&store->jobs);
    changes_init(&store->changes);
    store->url = strdup(url);
    if (store->url)
        store->writer = connection_new(store->url, CONNECTION_WRITES, NULL);
    if (store->writer)
        store->pool = pool_new(store->url);
    make_node(store->node);
    pg_clock_start(&store->clock);
    if (store->sql.damage && store->pool)
        return store;
    free_store(store);
    return NULL;
}

/* A machine that boots starts its services in any order, so this waits for PostgreSQL for a while.
 */
static int open_writer(struct store *store, char error[STORE_ERROR_SIZE])
{
    int64_t until_ms = monotonic_ms() + OPEN_MS;
    int opened;
    bool told = false;

    while ((opened = connection_open(store->writer, error)) == -1 && monotonic_ms() < until_ms) {
        if (!told)
            log_line(LOG_WARNING, "%s; trying for %d s", error, OPEN_MS / 1000);
        told = true;
        sleep(1);
    }
    return opened;
}

static struct store *postgres_store_open(const char *url, char error[STORE_ERROR_SIZE])
{
    struct store *store = make_store(url);

    if (!store) {
        snprintf(error, STORE_ERROR_SIZE, "out of memory");
        return NULL;
    }
    if (open_writer(store, error) < 0 || pg_migrate(store->writer, error) < 0 ||
        pool_tend(store->pool, error) < 0) {
        free_store(store);
        return NULL;
    }
    pg_clock_read(store, store->writer);
    partitions_tend(store->writer, pg_now_ms(store));
    if ((store->listener = pg_listen(store)) &&
        worker_start(&store->jobs.writer, write_groups, store) == 0)
        return store;
    snprintf(error, STORE_ERROR_SIZE, "no thread for the store");
    pg_listen_stop(store->listener);
    free_store(store);
    return NULL;
}

static void postgres_store_close(struct store *store)
{
    worker_stop(&store->jobs.writer); /* finishes the jobs first */
    pg_listen_stop(store->listener);
    free_store(store);
}

static int postgres_store_check(const char *url, char error[STORE_ERROR_SIZE])
{
    struct connection *connection = connection_new(url, CONNECTION_READS, NULL);
    int result = connection ? connection_open(connection, error) : -1;

    if (!connection)
        snprintf(error, STORE_ERROR_SIZE, "out of memory");
    if (result == 0)
        result = pg_check_tables(connection, error);
    connection_free(connection);
    return result;
}

static int postgres_store_backup(const char *url, const char *file, char error[STORE_ERROR_SIZE])
{
    (void)url;
    (void)file;
    snprintf(error, STORE_ERROR_SIZE, "the store is in PostgreSQL: back it up with pg_dump");
    return -1;
}

static int postgres_store_restore(const char *url, const char *file, char kept[STORE_ERROR_SIZE],
                                  char error[STORE_ERROR_SIZE])
{
    (void)url;
    (void)file;
    (void)kept;
    snprintf(error, STORE_ERROR_SIZE, "the store is in PostgreSQL: restore it with pg_restore");
    return -1;
}

/* ---- the writer ---- */

static void postgres_store_submit(struct store *store, struct job *job)
{
    jobs_submit(&store->jobs, job);
}

/* Connects if necessary. While PostgreSQL is not available, jobs fail at once, except for a try
 * from time to time. */
static bool is_connected(struct store *store)
{
    char error[STORE_ERROR_SIZE];

    if (!connection_went(store->writer))
        return true;
    if (monotonic_ms() < store->retry_ms)
        return false;
    if (connection_open(store->writer, error) == 0) { /* the listener logs failures */
        store->pause_ms = 0;
        return true;
    }
    store->pause_ms = store->pause_ms ? store->pause_ms * 2 : PAUSE_FIRST_MS;
    if (store->pause_ms > PAUSE_MAX_MS)
        store->pause_ms = PAUSE_MAX_MS;
    store->retry_ms = monotonic_ms() + store->pause_ms;
    return false;
}

static bool begin(struct store *store, struct txn *txn, const struct job *group)
{
    connection_recover(store->writer);
    changes_reset(&store->changes);
    store->versions_left = 0; /* versions are taken under the locks */
    if (!connection_send(store->writer, "BEGIN"))
        return false;
    connection_in_transaction(store->writer, true);
    return pg_lock_hosts(txn, group);
}

static void roll_back(struct store *store)
{
    connection_recover(store->writer);
    if (connection_send(store->writer, "ROLLBACK"))
        connection_finish(store->writer);
    connection_recover(store->writer);
    connection_in_transaction(store->writer, false);
}

static bool commit(struct store *store, struct txn *txn)
{
    bool ok;

    if (store->changes.lost)
        return false;
    pg_notify(txn, store->changes.list, store->changes.count);
    ok = !connection_failed(store->writer) && connection_send(store->writer, "COMMIT") &&
         connection_committed(store->writer);
    connection_in_transaction(store->writer, false);
    return ok;
}

/* All jobs or none. Usually all of them succeed, so no savepoints are needed. */
static bool apply_together(struct txn *txn, struct job *group, bool *applied)
{
    for (struct job *job = group; job; job = job->next)
        if (!(*applied++ = job->apply(txn, job->context) == JOB_DONE))
            return false;
    return true;
}

/* Applies one job, all of it or nothing. False: nothing more can be done in this transaction. */
static bool apply_alone(struct txn *txn, struct job *job, bool *applied)
{
    struct connection *writer = txn->store->writer;

    if (!connection_send(writer, "SAVEPOINT job"))
        return false;
    *applied = job->apply(txn, job->context) == JOB_DONE;
    *applied &= connection_finish(writer) == 0;
    connection_recover(writer);
    if (!*applied && !connection_send(writer, "ROLLBACK TO SAVEPOINT job"))
        return false;
    return connection_send(writer, "RELEASE SAVEPOINT job") && connection_finish(writer) == 0;
}

static bool apply_each(struct txn *txn, struct job *group, bool *applied)
{
    for (struct job *job = group; job; job = job->next)
        if (!apply_alone(txn, job, applied++))
            return false;
    return true;
}

static bool try_group(struct store *store, struct job *group, bool *applied,
                      bool (*apply)(struct txn *, struct job *, bool *))
{
    struct txn txn = {.store = store, .now_ms = pg_now_ms(store)};

    if (begin(store, &txn, group) && apply(&txn, group, applied) && commit(store, &txn))
        return true;
    roll_back(store);
    return false;
}

/* A COMMIT without an answer may have succeeded or not. Its jobs are not acknowledged, and not
 * applied again here. The senders send the data again, and the store recognizes data that it has.
 */
static bool apply_group(struct store *store, struct job *group, bool *applied)
{
    if (!is_connected(store))
        return false;
    if (try_group(store, group, applied, apply_together))
        return true;
    return connection_alive(store->writer) && try_group(store, group, applied, apply_each);
}

static void run_group(struct store *store, struct job *group)
{
    bool applied[GROUP_MAX], ok = apply_group(store, group, applied), failed = false;
    size_t count = 0, done = 0;

    if (ok)
        changes_publish(&store->changes, store->changes.list, store->changes.count);
    for (struct job *job = group; job; job = job->next)
        failed |= !(ok && applied[count++]);
    jobs_count(&store->jobs, count, failed);
    for (struct job *job = group, *next; job; job = next, done++) {
        next = job->next; /* done may free the job */
        job->done(job->context, ok && applied[done]);
    }
}

/* A job that is not about one host takes locks while it runs, and must not hold other locks then.
 * So the job gets a transaction of its own. Cuts off the first part of the group; returns the rest.
 */
static struct job *split(struct job *group)
{
    struct job *last = group, *rest;

    while (group->host && last->next && last->next->host)
        last = last->next;
    rest = last->next;
    last->next = NULL;
    return rest;
}

static void *write_groups(void *context)
{
    struct store *store = context;
    struct job *group, *rest;

    while ((group = jobs_take(&store->jobs, GROUP_MAX, 0, NULL, NULL)))
        for (; group; group = rest) {
            rest = split(group);
            run_group(store, group);
        }
    return NULL;
}

static void postgres_txn_changed(struct txn *txn, const char *host, const char *run)
{
    changes_note(&txn->store->changes, host, run, false);
}

static void postgres_txn_progressed(struct txn *txn, const char *host, const char *run)
{
    changes_note(&txn->store->changes, host, run, true);
}

static void postgres_store_watch(struct store *store,
                                 void (*watch)(void *, const struct change *, size_t),
                                 void *context)
{
    changes_watch(&store->changes, watch, context);
}

static void postgres_store_counts(struct store *store, struct store_counts *counts)
{
    jobs_counts(&store->jobs, counts);
    sql_count(store, counts);
}

static const char *postgres_store_trouble(struct store *store)
{
    if (damage_any(store->sql.damage))
        return "stored data is damaged; the log of the server names it";
    if (jobs_failing(&store->jobs))
        return "the store could not write a moment ago";
    return NULL;
}

/* ---- readers ---- */

static void postgres_store_snapshot(struct store *store)
{
    struct connection *connection = pool_enter(store->pool);

    if (!connection)
        return;
    connection_send(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    connection_in_transaction(connection, true);
}

static void postgres_store_snapshot_end(struct store *store)
{
    struct connection *connection = pool_held(store->pool);

    if (!connection)
        return;
    connection_recover(connection);
    connection_send(connection, "COMMIT");
    connection_in_transaction(connection, false);
    pool_leave(store->pool);
}

static bool postgres_store_read_failed(struct store *store)
{
    return pool_failed(store->pool);
}

static int64_t postgres_store_now_ms(struct store *store)
{
    return pg_now_ms(store);
}

static bool postgres_store_is_shared(struct store *store)
{
    (void)store;
    return true;
}

static int postgres_txn_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows,
                                  size_t count)
{
    return pg_calls_add(txn, window_ms, rows, count);
}

#define OWN_MEMBER(name) .name = postgres_##name,
#define SHARED_MEMBER(name) .name = sql_##name,

const struct store_engine postgres_engine = {.open = postgres_store_open,
                                             .check = postgres_store_check,
                                             .backup = postgres_store_backup,
                                             .restore = postgres_store_restore,
                                             STORE_OWN_FUNCTIONS(OWN_MEMBER)
                                                 STORE_SHARED_FUNCTIONS(SHARED_MEMBER)};
