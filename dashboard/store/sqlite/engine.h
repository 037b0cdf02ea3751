/* The store: one SQLite file (WAL, synchronous=FULL). Writes are jobs for one writer thread, which
   takes all that wait, runs them in one transaction, and answers each after the commit is on disk:
   durability costs one sync for many. Reads have connections of their own, one a thread, and see
   only what is committed. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_ENGINE_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_ENGINE_H

#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

struct store;
struct text;

#define STORE_ERROR_SIZE 512

/* Opens (and makes, or migrates) DIR/nixfleet.db and starts the writer. NULL with a line in error:
 * a damaged file is reported, never replaced. */
struct store *store_open(const char *dir, char error[STORE_ERROR_SIZE]);
/* Finishes the jobs that wait, then closes. */
void store_close(struct store *store);

/* ---- writing ---- */

/* What a job may use while it is applied: only inside its apply function, on the writer thread. */
struct txn {
    struct store *store;
    sqlite3 *db;
    int64_t now_ms;
};

enum job_result {
    JOB_DONE,
    JOB_FAILED
}; /* FAILED: the store could not do it (full disk): the job is undone and may be tried again */

struct job {
    struct job *next;
    enum job_result (*apply)(struct txn *txn, void *context);
    /* Called after the commit (ok) or its failure, on the writer thread; must not block. Owns
     * context from here on. */
    void (*done)(void *context, bool ok);
    void *context;
};

/* Queues a job; the struct must live until done is called. */
void store_submit(struct store *store, struct job *job);
/* A prepared statement of the writer's connection, kept for the next time; reset and with its
 * bindings cleared. NULL on an error. */
sqlite3_stmt *txn_statement(struct txn *txn, const char *sql);
/* The next version: larger than every one before, over restarts. */
int64_t txn_version(struct txn *txn);
/* Notes what changed, for those who watch (store_watch); told after the commit. run may be NULL. */
void txn_changed(struct txn *txn, const char *host, const char *run);
/* The same of a run that only went on: more lines, the next of its builds. */
void txn_progressed(struct txn *txn, const char *host, const char *run);

/* Is told after each commit which hosts and runs have changed (a run's line: host and run; a host
 * alone: run ""). On the writer thread; must not block. A watch of NULL ends it: when that
 * returns, the one before is not called any more. */
struct change {
    char host[HOST_ID_SIZE], run[RUN_ID_SIZE];
    bool progress; /* nothing but progress */
};
void store_watch(struct store *store,
                 void (*watch)(void *context, const struct change *changes, size_t count),
                 void *context);

/* ---- reading ---- */

/* A prepared statement of this thread's reading connection, kept for the next time; with its
 * bindings cleared. sql is a literal. The caller resets it before it returns: a statement in use
 * holds an old state of the store. NULL on an error. */
sqlite3_stmt *store_statement(struct store *store, const char *sql);
/* Prepares on the thread's reader, for a read that goes on over several calls; the caller
 * finalizes. NULL on an error. */
sqlite3_stmt *store_prepare(struct store *store, const char *sql);

/* From here to the end this thread's reads see one state of the store, whatever is written
 * meanwhile. */
void store_snapshot(struct store *store);
void store_snapshot_end(struct store *store);

/* Copies the database to a new file while it is in use. 0, or -1 with a line in error. */
int store_backup(const char *dir, const char *file, char error[STORE_ERROR_SIZE]);
/* Jobs waiting, groups committed, jobs done: for /metrics. */
void store_counts(struct store *store, uint64_t *waiting, uint64_t *commits, uint64_t *jobs);

/* What is wrong with the store as far as its own work has shown, in constant text; NULL:
   nothing. */
const char *store_trouble(struct store *store);

/* Binds and steps, in the order of the statement's parameters. "t" text (NULL allowed), "i"
 * int64_t. Returns sqlite3_step's result. */
int statement_run(sqlite3_stmt *statement, const char *types, ...);
void statement_bind(sqlite3_stmt *statement, const char *types, ...);
void statement_bind_list(sqlite3_stmt *statement, const char *types, va_list arguments);
/* A column's text, or NULL. Lives as long as the row. */
const char *column_text(sqlite3_stmt *statement, int column);

#endif
