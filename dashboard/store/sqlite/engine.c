/* Opens and migrates the database; the writer thread; reading connections. */
#include "dashboard/store/sqlite/sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/heap.h"
#include "common/io.h"
#include "common/log.h"
#include "dashboard/store/jobs.h"
#include "dashboard/store/sql/clock.h"
#include "dashboard/store/sql/damage.h"
#include "dashboard/store/sqlite/check.h"
#include "dashboard/store/sqlite/restore.h"
#include "dashboard/store/sqlite/rowsum.h"
#include "dashboard/store/sqlite/schema.h"
#include "dashboard/store/sqlite/wal.h"

#define GROUP_MAX 2000                 /* jobs in one transaction */
#define WRITER_HEAP ((size_t)20 << 20) /* bytes: its cache of the database, and some batches */
#define STATEMENTS_MAX 96              /* of one connection */
#define BUSY_MS 5000
/* Bytes; a larger file is checked while it is in use. */
#define CHECK_FIRST_MAX (256 << 20)

/* A statement that is prepared once and used often. */
struct kept {
    struct statement head;
    const char *sql; /* the address of the literal is the key */
    sqlite3_stmt *statement;
    bool *failed; /* of the reader; NULL: of the writer */
};

struct statements {
    bool *failed; /* for each of them */
    struct kept kept[STATEMENTS_MAX];
    size_t count;
};

/* A thread's reading connection. */
struct reader {
    sqlite3 *db;
    struct statements statements;
    bool failed; /* a read has failed since the last question */
};

struct store {
    struct sql_store sql;
    char *path, *log_path; /* the database and its write-ahead log */
    pthread_key_t reader;
    struct store_check *check;
    struct jobs jobs;
    struct changes changes;

    sqlite3 *db;                /* the fields from here on belong to the writer thread */
    struct stat file, log_file; /* the database and its write-ahead log; st_ino 0: not seen yet */
    bool gone;                  /* one of them was removed or replaced, and this was logged */
    struct statements statements;
    struct wal wal;
    struct store_clock clock;
    char *with; /* in front of what the writer reads (rowsum_with) */
    int64_t version;
    bool version_used;
};

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int64_t scalar(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t value = 0;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* SQLite has this function from 3.43 on. */
static void octet_length(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    if (sqlite3_value_type(values[0]) != SQLITE_NULL)
        sqlite3_result_int64(context, sqlite3_value_bytes(values[0]));
}

static int configure(sqlite3 *db)
{
    if (sqlite3_create_function(db, "octet_length", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                octet_length, NULL, NULL) != SQLITE_OK)
        return SQLITE_ERROR;
    sqlite3_busy_timeout(db, BUSY_MS);
    return exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; "
                    "PRAGMA cache_size=-16384;"
                    "PRAGMA journal_size_limit=67108864;");
}

static int migrate(sqlite3 *db, char *error)
{
    int64_t done = scalar(db, "PRAGMA user_version");

    if (done > SCHEMA_STEPS) {
        snprintf(error, STORE_ERROR_SIZE,
                 "the database is of a newer version (%lld) than this program (%d)",
                 (long long)done, SCHEMA_STEPS);
        return -1;
    }
    for (; done < SCHEMA_STEPS; done++) {
        char mark[64];

        snprintf(mark, sizeof mark, "PRAGMA user_version=%lld; COMMIT", (long long)done + 1);
        if (exec(db, "BEGIN IMMEDIATE") || exec(db, schema_steps[done]) ||
            rowsum_fill(db, (int)done + 1) || exec(db, mark)) {
            snprintf(error, STORE_ERROR_SIZE, "migration %lld failed: %s", (long long)done + 1,
                     sqlite3_errmsg(db));
            exec(db, "ROLLBACK");
            return -1;
        }
    }
    return 0;
}

/* If its row is lost or damaged, the version is found in the lines, which takes longer. */
static int64_t last_version(sqlite3 *db)
{
    int64_t version = scalar(db, "SELECT value FROM kv WHERE name='version' AND "
                                 "sum=row_sum(name,value)");

    return version ? version : scalar(db, "SELECT max(version) FROM chunks");
}

/* Damage is reported at the start, not at a later read. */
static int check(struct store *store, off_t size, char *error)
{
    return size <= CHECK_FIRST_MAX ? check_structure(store->db, store->path, error) : 0;
}

static void finalize_all(struct statements *statements)
{
    for (size_t i = 0; i < statements->count; i++)
        sqlite3_finalize(statements->kept[i].statement);
}

static void close_reader(void *context)
{
    struct reader *reader = context;

    finalize_all(&reader->statements);
    sqlite3_close_v2(reader->db);
    free(reader);
}

static const struct sql_driver driver;

/* Whether a statement returns or copies rows of tables. */
static bool copies_rows(const char *sql)
{
    return strncmp(sql, "SELECT", 6) == 0 ||
           (strncmp(sql, "INSERT", 6) == 0 && strstr(sql, " SELECT "));
}

/* with: NULL, or a clause in front of statements that return or copy rows. */
static int prepare(sqlite3 *db, const char *with, const char *sql, sqlite3_stmt **statement)
{
    bool copies = with && copies_rows(sql);
    char *whole = sqlite3_mprintf("%s %s", copies ? with : "", sql);
    int result = SQLITE_NOMEM;

    if (whole)
        result = sqlite3_prepare_v3(db, whole, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    sqlite3_free(whole);
    return result;
}

/* The kept statement for a literal, reset and without bindings; prepared at the first use. NULL on
 * an error, which is logged. */
static struct statement *keep(struct statements *statements, sqlite3 *db, const char *with,
                              const char *sql)
{
    struct kept *kept = statements->kept;
    sqlite3_stmt *statement = NULL;

    for (; kept < statements->kept + statements->count; kept++)
        if (kept->sql == sql) {
            sqlite3_reset(kept->statement);
            sqlite3_clear_bindings(kept->statement);
            return &kept->head;
        }
    if (statements->count == STATEMENTS_MAX || prepare(db, with, sql, &statement) != SQLITE_OK) {
        log_line(LOG_ERR, "store: %s", sqlite3_errmsg(db));
        return NULL;
    }
    *kept = (struct kept){
        .head = {&driver}, .sql = sql, .statement = statement, .failed = statements->failed};
    statements->count++;
    return &kept->head;
}

static void *write_groups(void *context);

static int make_paths(struct store *store, const char *dir)
{
    if (asprintf(&store->path, "%s/nixfleet.db", dir) < 0)
        return -1;
    if (asprintf(&store->log_path, "%s-wal", store->path) >= 0)
        return 0;
    free(store->path);
    return -1;
}

static struct store *sqlite_store_open(const char *dir, char error[STORE_ERROR_SIZE])
{
    struct stat info = {0};
    struct store *store = calloc(1, sizeof *store);

    if (!store || make_paths(store, dir) < 0) {
        free(store);
        snprintf(error, STORE_ERROR_SIZE, "out of memory");
        return NULL;
    }
    store->sql = (struct sql_store){{&sqlite_engine}, &driver, damage_new()};
    jobs_init(&store->jobs);
    changes_init(&store->changes);
    if (!store->sql.damage) {
        snprintf(error, STORE_ERROR_SIZE, "out of memory");
        goto failed;
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        snprintf(error, STORE_ERROR_SIZE, "%s: %s", dir, strerror(errno));
        goto failed;
    }
    if (stat(store->path, &info) == 0 && info.st_size == 0) {
        snprintf(error, STORE_ERROR_SIZE, "%s is empty: restore a backup, or remove it",
                 store->path);
        goto failed;
    }
    if (sqlite3_open_v2(store->path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        configure(store->db) != SQLITE_OK) {
        snprintf(error, STORE_ERROR_SIZE, "%s: %s", store->path, sqlite3_errmsg(store->db));
        goto failed;
    }
    chmod(store->path, 0600); /* it holds logs and token hashes; a failure is ignored, because the
                                 file may belong to another user */
    if (check(store, info.st_size, error) < 0 || migrate(store->db, error) < 0)
        goto failed;
    if (rowsum_write(store->db, store->sql.damage) != SQLITE_OK ||
        !(store->with = rowsum_with(store->db))) {
        snprintf(error, STORE_ERROR_SIZE, "%s: %s", store->path, sqlite3_errmsg(store->db));
        goto failed;
    }
    wal_watch(&store->wal, store->db);
    store->version = last_version(store->db);
    if (pthread_key_create(&store->reader, close_reader) != 0 ||
        worker_start(&store->jobs.writer, write_groups, store) != 0) {
        snprintf(error, STORE_ERROR_SIZE, "no thread for the store");
        goto failed;
    }
    store->check = store_check_start(store, store->path, info.st_size > CHECK_FIRST_MAX);
    return store;
failed:
    worker_destroy(&store->jobs.writer);
    store_check_stop(store->check);
    damage_free(store->sql.damage);
    changes_free(&store->changes);
    sqlite3_free(store->with);
    sqlite3_close_v2(store->db);
    free(store->path);
    free(store->log_path);
    free(store);
    return NULL;
}

static void sqlite_store_close(struct store *store)
{
    worker_stop(&store->jobs.writer); /* finishes the jobs first */
    worker_destroy(&store->jobs.writer);
    store_check_stop(store->check);
    finalize_all(&store->statements);
    if (pthread_getspecific(store->reader))
        close_reader(pthread_getspecific(store->reader));
    pthread_key_delete(store->reader);
    sqlite3_close_v2(store->db); /* last, so that it can empty and remove the write-ahead log */
    damage_free(store->sql.damage);
    changes_free(&store->changes);
    sqlite3_free(store->with);
    free(store->path);
    free(store->log_path);
    free(store);
}

/* ---- the writer ---- */

static void sqlite_store_submit(struct store *store, struct job *job)
{
    jobs_submit(&store->jobs, job);
}

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
    return sqlite3_get_autocommit(store->db) || exec(store->db, "ROLLBACK") == SQLITE_OK;
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

static void *write_groups(void *context)
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

static void sqlite_txn_changed(struct txn *txn, const char *host, const char *run)
{
    changes_note(&txn->store->changes, host, run, false);
}

static void sqlite_txn_progressed(struct txn *txn, const char *host, const char *run)
{
    changes_note(&txn->store->changes, host, run, true);
}

static void sqlite_store_watch(struct store *store,
                               void (*watch)(void *, const struct change *, size_t), void *context)
{
    changes_watch(&store->changes, watch, context);
}

static void sqlite_store_counts(struct store *store, struct store_counts *counts)
{
    jobs_counts(&store->jobs, counts);
    sql_count(store, counts);
}

static const char *sqlite_store_trouble(struct store *store)
{
    if (store_check_failed(store->check))
        return "the database is damaged";
    if (damage_any(store->sql.damage))
        return "stored data is damaged; the log of the server names it";
    return jobs_failing(&store->jobs) ? "the store could not write a moment ago" : NULL;
}

/* ---- readers ---- */

/* This thread's reader, which may not be open; NULL when out of memory. Closed with the thread. */
static struct reader *own_reader(struct store *store)
{
    struct reader *reader = pthread_getspecific(store->reader);

    if (reader || !(reader = calloc(1, sizeof *reader)))
        return reader;
    reader->statements.failed = &reader->failed;
    if (pthread_setspecific(store->reader, reader) == 0)
        return reader;
    free(reader);
    return NULL;
}

/* This thread's reader, open; NULL if it cannot be opened. */
static struct reader *open_reader(struct store *store)
{
    struct reader *reader = own_reader(store);

    if (!reader || reader->db)
        return reader;
    if (sqlite3_open_v2(store->path, &reader->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        rowsum_read(reader->db, store->sql.damage) != SQLITE_OK) {
        sqlite3_close_v2(reader->db);
        reader->db = NULL;
        reader->failed = true;
        return NULL;
    }
    sqlite3_busy_timeout(reader->db, BUSY_MS);
    exec(reader->db, "PRAGMA cache_size=-4096");
    return reader;
}

static bool sqlite_store_read_failed(struct store *store)
{
    struct reader *reader = own_reader(store);
    bool failed = !reader || reader->failed;

    if (reader)
        reader->failed = false;
    return failed;
}

static int sqlite_store_backup(const char *dir, const char *file, char error[STORE_ERROR_SIZE])
{
    AUTO_FREE char *path = NULL;
    sqlite3 *from = NULL, *to = NULL;
    sqlite3_backup *backup;
    struct stat info;
    int result = -1;

    if (asprintf(&path, "%s/nixfleet.db", dir) < 0)
        return -1;
    umask(077); /* the copy has the same secrets as the original */
    if (stat(file, &info) == 0) {
        snprintf(error, STORE_ERROR_SIZE, "%s: the file exists already", file);
        return -1;
    }
    if (sqlite3_open_v2(path, &from, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        snprintf(error, STORE_ERROR_SIZE, "%s: %s", path, sqlite3_errmsg(from));
    } else if (sqlite3_open_v2(file, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
                   SQLITE_OK ||
               !(backup = sqlite3_backup_init(to, "main", from, "main"))) {
        snprintf(error, STORE_ERROR_SIZE, "%s: %s", file, sqlite3_errmsg(to));
    } else {
        result = sqlite3_backup_step(backup, -1) == SQLITE_DONE ? 0 : -1;
        sqlite3_backup_finish(backup);
        if (result < 0)
            snprintf(error, STORE_ERROR_SIZE, "%s: %s", file, sqlite3_errmsg(to));
    }
    sqlite3_close_v2(from);
    sqlite3_close_v2(to);
    return result;
}

/* ---- statements ---- */

static struct statement *txn_prepare(struct txn *txn, const char *sql, bool many)
{
    (void)many; /* SQLite has only one row in memory at any time */
    return keep(&txn->store->statements, txn->store->db, txn->store->with, sql);
}

static struct statement *store_prepare(struct store *store, const char *sql, bool many)
{
    struct reader *reader = open_reader(store);

    struct statement *statement = reader ? keep(&reader->statements, reader->db, NULL, sql) : NULL;

    (void)many;
    if (reader && !statement)
        reader->failed = true;
    return statement;
}

static sqlite3_stmt *own(struct statement *statement)
{
    return ((struct kept *)statement)->statement;
}

static int bind(struct statement *statement, const struct sql_value *values, int count)
{
    int failed = 0;

    for (int i = 0; i < count; i++) {
        const struct sql_value *value = &values[i];

        if (value->is_null)
            continue;
        if (!value->is_text)
            failed |= sqlite3_bind_int64(own(statement), i + 1, value->number);
        else if (value->text) /* otherwise NULL already, because bindings were cleared */
            failed |= sqlite3_bind_text(own(statement), i + 1, value->text, (int)value->size,
                                        value->lives ? SQLITE_STATIC : SQLITE_TRANSIENT);
    }
    return failed ? -1 : 0;
}

static int step(struct statement *statement)
{
    struct kept *kept = (struct kept *)statement;
    int result = sqlite3_step(own(statement));

    if (result != SQLITE_ROW && result != SQLITE_DONE && kept->failed)
        *kept->failed = true;
    return result == SQLITE_ROW ? 1 : result == SQLITE_DONE ? 0 : -1;
}

static int reset(struct statement *statement)
{
    return sqlite3_reset(own(statement)) == SQLITE_OK ? 0 : -1;
}

static int run(struct txn *txn, struct statement *statement)
{
    int result = step(statement);

    (void)txn;
    return reset(statement) < 0 || result < 0 ? -1 : 0;
}

static void run_alone(struct store *store, const char *sql)
{
    struct statement *statement = store_prepare(store, sql, false);

    if (statement) {
        step(statement);
        reset(statement);
    }
}

/* The end is prepared first: if a snapshot could not be ended for lack of memory, the thread would
 * read an old state until its next snapshot. */
static void sqlite_store_snapshot(struct store *store)
{
    if (store_prepare(store, "COMMIT", false))
        run_alone(store, "BEGIN");
}

static void sqlite_store_snapshot_end(struct store *store)
{
    run_alone(store, "COMMIT");
}

static int64_t rows(struct txn *txn)
{
    return sqlite3_changes(txn->store->db);
}

static int64_t next_version(struct txn *txn)
{
    txn->store->version_used = true;
    return ++txn->store->version;
}

/* The writer is alone. */
static int64_t lines_wait_from(int64_t since_ms)
{
    (void)since_ms;
    return INT64_MAX;
}

static void lock_host(struct txn *txn, const char *host)
{
    (void)txn;
    (void)host;
}

static int copied(struct txn *txn)
{
    return txn_exec(
        txn,
        "INSERT OR REPLACE INTO kv(name, value) SELECT 'version', coalesce(max(version),0) FROM "
        "chunks",
        "");
}

static bool is_null(struct statement *statement, int column)
{
    return sqlite3_column_type(own(statement), column) == SQLITE_NULL;
}

static int64_t number(struct statement *statement, int column)
{
    return sqlite3_column_int64(own(statement), column);
}

static const char *text(struct statement *statement, int column)
{
    return (const char *)sqlite3_column_text(own(statement), column);
}

static size_t text_size(struct statement *statement, int column)
{
    return (size_t)sqlite3_column_bytes(own(statement), column);
}

static const struct sql_driver driver = {.txn_prepare = txn_prepare,
                                         .store_prepare = store_prepare,
                                         .bind = bind,
                                         .step = step,
                                         .reset = reset,
                                         .run = run,
                                         .rows = rows,
                                         .version = next_version,
                                         .lock_host = lock_host,
                                         .lines_wait_from = lines_wait_from,
                                         .copied = copied,
                                         .column_null = is_null,
                                         .column_int64 = number,
                                         .column_text = text,
                                         .column_size = text_size};

static int64_t sqlite_store_now_ms(struct store *store)
{
    (void)store;
    return wall_ms();
}

/* Only one server may use the file. */
static bool sqlite_store_is_shared(struct store *store)
{
    (void)store;
    return false;
}

static int sqlite_txn_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows,
                                size_t count)
{
    (void)txn;
    (void)window_ms;
    (void)rows;
    (void)count;
    return -1;
}

#define OWN_MEMBER(name) .name = sqlite_##name,
#define SHARED_MEMBER(name) .name = sql_##name,

/* If a file is unusable, this shows when it is opened. */
static int sqlite_store_check(const char *dir, char error[STORE_ERROR_SIZE])
{
    (void)dir;
    (void)error;
    return 0;
}

const struct store_engine sqlite_engine = {.open = sqlite_store_open,
                                           .check = sqlite_store_check,
                                           .backup = sqlite_store_backup,
                                           .restore = sqlite_restore,
                                           STORE_OWN_FUNCTIONS(OWN_MEMBER)
                                               STORE_SHARED_FUNCTIONS(SHARED_MEMBER)};
