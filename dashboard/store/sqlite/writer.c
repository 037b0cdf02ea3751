/* The writer thread: takes waiting jobs, applies them in one transaction, and reports their ends.
 */
#include <stdlib.h>
#include <string.h>

#include "common/heap.h"
#include "common/io.h"
#include "common/log.h"
#include "dashboard/store/sqlite/sqlite.h"

#define GROUP_MAX 2000                 /* jobs in one transaction */
#define WRITER_HEAP ((size_t)20 << 20) /* bytes: its cache of the database, and some batches */

static void checkpoint(void *context)
{
    struct store *store = context;

    wal_checkpoint(&store->wal, store->db);
}

static struct job *take_group(struct store *store)
{
    return jobs_take(&store->jobs, GROUP_MAX, WAL_IDLE_MS,
                     wal_due(&store->wal, true) ? checkpoint : NULL, store);
}

static int save_version(struct txn *txn)
{
    if (txn->store->version_used &&
        txn_exec(txn, "INSERT OR REPLACE INTO kv(name, value) VALUES('version',?)", "i",
                 txn->store->version) < 0)
        return -1;
    txn->store->version_used = false;
    return 0;
}

/* Applies one job inside the transaction, all of it or nothing. *applied: whether it was applied.
 * Returns -1 if neither was possible (out of memory, or the disk is full); then the transaction
 * must not be committed. */
static int apply_alone(struct txn *txn, struct job *job, bool *applied)
{
    if (txn_exec(txn, "SAVEPOINT job", "") < 0)
        return -1;
    *applied = job->apply(txn, job->context) == JOB_DONE;
    if (!*applied && txn_exec(txn, "ROLLBACK TO job", "") < 0)
        return -1;
    return txn_exec(txn, "RELEASE job", "");
}

/* Whether path is still the same file. */
static bool is_same_file(const char *path, struct stat *known)
{
    struct stat now;

    if (stat(path, &now) < 0)
        return known->st_ino == 0;
    if (known->st_ino == 0)
        *known = now;
    return now.st_dev == known->st_dev && now.st_ino == known->st_ino;
}

/* SQLite continues to write to a file that was removed; what it acknowledges would be lost at the
 * next start. */
static bool files_are_there(struct store *store)
{
    bool there =
        is_same_file(store->path, &store->file) && is_same_file(store->log_path, &store->log_file);

    if (!there && !store->gone)
        log_line(LOG_ERR,
                 "%s or its -wal file is gone or was replaced: nothing is stored until it "
                 "is back",
                 store->path);
    store->gone = !there;
    return there;
}

/* A rollback needs memory, too: if it failed, the transaction is still open when the next group
 * comes. */
static bool roll_back(struct store *store)
{
    changes_reset(&store->changes);
    return sqlite3_get_autocommit(store->db) || sqlite_exec(store->db, "ROLLBACK") == SQLITE_OK;
}

static bool begin(struct store *store, struct txn *txn)
{
    if (!files_are_there(store) || !roll_back(store) || txn_exec(txn, "BEGIN IMMEDIATE", "") < 0)
        return false;
    if (store_clock_begin(&store->clock, txn) == 0)
        return true;
    store->clock = (struct store_clock){0};
    return false;
}

/* False: nothing is stored. */
static bool commit(struct store *store, struct txn *txn)
{
    if (!store->changes.lost && save_version(txn) == 0 && !sqlite3_get_autocommit(store->db) &&
        txn_exec(txn, "COMMIT", "") == 0)
        return true;
    roll_back(store);
    return false;
}

enum outcome { STORED, NOT_STORED, A_JOB_FAILED };

/* Applies the jobs in one transaction, all of them or none. */
static enum outcome apply_together(struct store *store, struct job *group)
{
    struct txn txn = {.store = store, .now_ms = wall_ms()};

    if (!begin(store, &txn)) {
        roll_back(store);
        return NOT_STORED;
    }
    for (struct job *job = group; job; job = job->next)
        if (job->apply(&txn, job->context) != JOB_DONE) {
            roll_back(store);
            return A_JOB_FAILED;
        }
    return commit(store, &txn) ? STORED : NOT_STORED;
}

/* Applies the jobs in one transaction, each in a savepoint, which costs a copy of each page that
 * the job changes. False: nothing is stored. A full disk may end the transaction in the middle of a
 * job; nothing more may be applied then, because each statement would be a transaction of its
 * own. */
static bool apply_each(struct store *store, struct job *group, bool *applied)
{
    struct txn txn = {.store = store, .now_ms = wall_ms()};
    bool open = begin(store, &txn);

    for (struct job *job = group; open && job; job = job->next)
        open = apply_alone(&txn, job, applied++) == 0 && sqlite3_get_autocommit(txn.store->db) == 0;
    if (open)
        return commit(store, &txn);
    roll_back(store);
    return false;
}

/* False: nothing is stored. Jobs hardly ever fail; if one does, the others are stored in a second
 * try. */
static bool apply_group(struct store *store, struct job *group, bool *applied, size_t count)
{
    enum outcome outcome = apply_together(store, group);

    if (outcome == A_JOB_FAILED && count > 1)
        return apply_each(store, group, applied);
    memset(applied, outcome == STORED, count * sizeof *applied);
    return outcome == STORED;
}

static void run_group(struct store *store, struct job *group)
{
    size_t count = 0, done = 0;
    bool *applied, ok, failed = false;

    for (struct job *job = group; job; job = job->next)
        count++;
    applied = calloc(count, sizeof *applied);
    ok = applied && apply_group(store, group, applied, count);
    if (ok)
        changes_publish(&store->changes, store->changes.list, store->changes.count);
    changes_reset(&store->changes);
    for (size_t i = 0; i < count; i++)
        failed |= !(ok && applied && applied[i]);
    jobs_count(&store->jobs, count, failed);
    for (struct job *job = group, *next; job; job = next, done++) {
        next = job->next; /* done may free the job */
        job->done(job->context, ok && applied && applied[done]);
    }
    free(applied);
}

void *sqlite_write_groups(void *context)
{
    struct store *store = context;
    struct job *group;

    heap_use_large_pages(WRITER_HEAP);
    while ((group = take_group(store))) {
        run_group(store, group);
        if (wal_due(&store->wal, false))
            wal_checkpoint(&store->wal, store->db);
    }
    return NULL;
}
