/* Opens, migrates, copies and closes the database. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/store/sql/damage.h"
#include "dashboard/store/sqlite/check.h"
#include "dashboard/store/sqlite/restore.h"
#include "dashboard/store/sqlite/rowsum.h"
#include "dashboard/store/sqlite/schema.h"
#include "dashboard/store/sqlite/sqlite.h"

/* Bytes; a larger file is checked while it is in use. */
#define CHECK_FIRST_MAX (256 << 20)

int sqlite_exec(sqlite3 *db, const char *sql)
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
    sqlite3_busy_timeout(db, SQLITE_BUSY_MS);
    return sqlite_exec(db,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; "
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
        if (sqlite_exec(db, "BEGIN IMMEDIATE") || sqlite_exec(db, schema_steps[done]) ||
            rowsum_fill(db, (int)done + 1) || sqlite_exec(db, mark)) {
            snprintf(error, STORE_ERROR_SIZE, "migration %lld failed: %s", (long long)done + 1,
                     sqlite3_errmsg(db));
            sqlite_exec(db, "ROLLBACK");
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
    store->sql = (struct sql_store){{&sqlite_engine}, &sqlite_driver, damage_new()};
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
    if (sqlite_readers_init(store) < 0 ||
        worker_start(&store->jobs.writer, sqlite_write_groups, store) != 0) {
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
    sqlite_finalize(&store->statements);
    sqlite_readers_close(store);
    sqlite3_close_v2(store->db); /* last, so that it can empty and remove the write-ahead log */
    damage_free(store->sql.damage);
    changes_free(&store->changes);
    sqlite3_free(store->with);
    free(store->path);
    free(store->log_path);
    free(store);
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

/* ---- jobs and health ---- */

static void sqlite_store_submit(struct store *store, struct job *job)
{
    jobs_submit(&store->jobs, job);
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
