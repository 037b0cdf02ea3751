/* Statements of the writer and of the reading threads. */
#include "dashboard/store/postgres/partitions.h"
#include "dashboard/store/postgres/postgres.h"

#define VERSIONS_AT_ONCE 256 /* the name of the sequence in schema.h */

static struct statement *txn_prepare(struct txn *txn, const char *sql, bool many)
{
    struct pg_statement *statement = connection_statement(txn->store->writer, sql, many);

    if (!statement)
        return NULL;
    statement->head.driver = &pg_driver;
    return &statement->head;
}

static struct statement *store_prepare(struct store *store, const char *sql, bool many)
{
    struct connection *connection = pool_enter(store->pool);
    struct pg_statement *statement;

    if (!connection)
        return NULL;
    statement = connection_statement(connection, sql, many);
    if (!statement) {
        pool_fail(store->pool);
        pool_leave(store->pool);
        return NULL;
    }
    statement->head.driver = &pg_driver;
    statement->pooled = true;
    return &statement->head;
}

static int bind(struct statement *statement, const struct sql_value *values, int count)
{
    pg_bind(statement, values, count);
    return connection_failed(((struct pg_statement *)statement)->connection) ? -1 : 0;
}

static int step(struct statement *statement)
{
    int result = pg_step(statement);

    if (result < 0 && ((struct pg_statement *)statement)->pooled)
        pool_fail(connection_pool(((struct pg_statement *)statement)->connection));
    return result;
}

/* libpq has the texts of all rows in memory, so none can be missing. */
static int reset(struct statement *statement)
{
    struct pg_statement *own = (struct pg_statement *)statement;

    pg_clear(own);
    if (own->pooled) {
        own->pooled = false;
        pool_leave(connection_pool(own->connection));
    }
    return 0;
}

/* A failure is noticed when the next result is needed, or at the commit. */
static int run(struct txn *txn, struct statement *statement)
{
    (void)statement;
    return connection_failed(txn->store->writer) ? -1 : 0;
}

static int64_t rows(struct txn *txn)
{
    return connection_rows(txn->store->writer);
}

static int64_t version(struct txn *txn)
{
    struct store *store = txn->store;
    struct statement *next;

    if (store->versions_left == 0) {
        next = txn_statement(txn, "SELECT nextval('chunk_version')");
        if (next && statement_step(next) > 0) {
            store->version = column_int64(next, 0);
            store->versions_left = VERSIONS_AT_ONCE;
            statement_close(next, 1);
        }
    }
    if (store->versions_left == 0)
        return 0; /* the job has failed */
    store->versions_left--;
    return store->version++;
}

static int copied(struct txn *txn)
{
    static const char *const sequences[] = {
        "SELECT setval('chunk_version', coalesce(max(version),0)+256) FROM chunks",
        "SELECT setval('run_number', coalesce(max(k & 4294967295),0)+1) FROM runs",
        "SELECT setval(pg_get_serial_sequence('history','id'), coalesce(max(id),0)+1) FROM history",
        ("SELECT setval(pg_get_serial_sequence('command_log','id'), coalesce(max(id),0)+1) FROM "
         "command_log"),
    };

    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        if (txn_exec(txn, sequences[i], "") < 0)
            return -1;
    return 0;
}

const struct sql_driver pg_driver = {.txn_prepare = txn_prepare,
                                     .store_prepare = store_prepare,
                                     .bind = bind,
                                     .step = step,
                                     .reset = reset,
                                     .run = run,
                                     .rows = rows,
                                     .version = version,
                                     .lock_host = pg_lock_host,
                                     .lines_wait_from = partitions_wait_from,
                                     .copied = copied,
                                     .column_null = pg_column_null,
                                     .column_int64 = pg_column_int64,
                                     .column_text = pg_column_text,
                                     .column_size = pg_column_size};
