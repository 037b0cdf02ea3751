/* Statements of the writer and of the reading threads, and the connections of the latter. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dashboard/store/sqlite/rowsum.h"
#include "dashboard/store/sqlite/sqlite.h"

/* A thread's reading connection. */
struct reader {
    sqlite3 *db;
    struct statements statements;
    bool failed; /* a read has failed since sqlite_store_read_failed was called */
};

void sqlite_finalize(struct statements *statements)
{
    for (size_t i = 0; i < statements->count; i++)
        sqlite3_finalize(statements->kept[i].statement);
}

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
    if (statements->count == SQLITE_STATEMENTS_MAX ||
        prepare(db, with, sql, &statement) != SQLITE_OK) {
        log_line(LOG_ERR, "store: %s", sqlite3_errmsg(db));
        return NULL;
    }
    *kept = (struct kept){
        .head = {&sqlite_driver}, .sql = sql, .statement = statement, .failed = statements->failed};
    statements->count++;
    return &kept->head;
}

/* ---- readers ---- */

static void close_reader(void *context)
{
    struct reader *reader = context;

    sqlite_finalize(&reader->statements);
    sqlite3_close_v2(reader->db);
    free(reader);
}

int sqlite_readers_init(struct store *store)
{
    return pthread_key_create(&store->reader, close_reader) == 0 ? 0 : -1;
}

void sqlite_readers_close(struct store *store)
{
    if (pthread_getspecific(store->reader))
        close_reader(pthread_getspecific(store->reader));
    pthread_key_delete(store->reader);
}

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
    sqlite3_busy_timeout(reader->db, SQLITE_BUSY_MS);
    sqlite_exec(reader->db, "PRAGMA cache_size=-4096");
    return reader;
}

bool sqlite_store_read_failed(struct store *store)
{
    struct reader *reader = own_reader(store);
    bool failed = !reader || reader->failed;

    if (reader)
        reader->failed = false;
    return failed;
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
void sqlite_store_snapshot(struct store *store)
{
    if (store_prepare(store, "COMMIT", false))
        run_alone(store, "BEGIN");
}

void sqlite_store_snapshot_end(struct store *store)
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

static int64_t lines_wait_from(int64_t since_ms)
{
    (void)since_ms;
    return INT64_MAX;
}

/* The writer is alone. */
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

const struct sql_driver sqlite_driver = {.txn_prepare = txn_prepare,
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
