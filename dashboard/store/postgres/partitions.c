#include "dashboard/store/postgres/partitions.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "dashboard/store/postgres/schema.h"

#define LOCK "6083474316513869825"
#define WAIT_WEEKS 2 /* the last run of a week becomes old later than the others */

static int64_t first_key(int64_t week)
{
    return week << atoi(WEEK_SHIFT);
}

int64_t partitions_wait_from(int64_t since_ms)
{
    int64_t week = since_ms / 1000 / atoi(WEEK_S) - WAIT_WEEKS;

    return first_key(week > 1 ? week : 1); /* week 0 has keys of another store, and stays */
}

/* Runs a query that returns one number. Returns -1 on failure. */
static int64_t ask(struct connection *connection, const char *sql, const struct sql_value *value)
{
    struct pg_statement *statement = connection_statement(connection, sql, false);
    int64_t number = -1;

    if (!statement)
        return -1;
    pg_bind(&statement->head, value, value ? 1 : 0);
    if (pg_step(&statement->head) > 0)
        number = pg_column_int64(&statement->head, 0);
    pg_clear(statement);
    return number;
}

static bool is_there(struct connection *connection, int64_t week)
{
    char name[40];
    struct sql_value value = {.is_text = true, .text = name};

    value.size = (size_t)snprintf(name, sizeof name, "chunks_w%lld", (long long)week);
    return ask(connection, "SELECT CAST(count(to_regclass(?1)) AS bigint)", &value) > 0;
}

/* If another session reads the tables (pg_dump), this server waits for a lock, and all other
 * sessions wait behind this server. So the wait is short; the next call tries again. */
static bool begin(struct connection *connection)
{
    return connection_send(connection, "BEGIN") &&
           connection_send(connection, "SET LOCAL lock_timeout='200ms'") &&
           connection_send(connection, "SELECT pg_advisory_xact_lock(" LOCK ")");
}

/* False: nothing has changed. */
static bool commit(struct connection *connection)
{
    if (connection_send(connection, "COMMIT") && connection_committed(connection))
        return true;
    connection_recover(connection);
    return false;
}

/* Whether lines of the week are outside of partitions, because its partition could not be made in
 * time. Then it cannot be made any more. */
static bool is_late(struct connection *connection, int64_t week)
{
    struct sql_value from = {.number = first_key(week)};

    return ask(connection,
               "SELECT count(*) FROM (SELECT 1 FROM chunks_other WHERE run>=?1 AND "
               "run<CAST(?1 AS bigint)+4294967296 LIMIT 1) o",
               &from) != 0;
}

static void make(struct connection *connection, int64_t week)
{
    char command[200];

    if (is_there(connection, week) || is_late(connection, week) || !begin(connection))
        return;
    snprintf(
        command, sizeof command,
        "CREATE TABLE IF NOT EXISTS chunks_w%lld PARTITION OF chunks FOR VALUES FROM (%lld) TO "
        "(%lld)",
        (long long)week, (long long)first_key(week), (long long)first_key(week + 1));
    connection_send(connection, command);
    commit(connection);
}

/* Whether the week still has a run with lines. True also if that is not known. */
static bool is_needed(struct connection *connection, int64_t week)
{
    struct sql_value from = {.number = first_key(week)};

    return ask(connection,
               "SELECT count(*) FROM runs WHERE k>=?1 AND k<CAST(?1 AS bigint)+4294967296 AND "
               "deleted=0",
               &from) != 0;
}

/* Under a lock that excludes writers, so that the answer stays true. */
static void drop(struct connection *connection, int64_t week)
{
    char command[80];
    bool dropped = false;

    if (is_needed(connection, week) || !begin(connection))
        return;
    snprintf(command, sizeof command, "LOCK TABLE chunks_w%lld IN ACCESS EXCLUSIVE MODE",
             (long long)week);
    connection_send(connection, command);
    if (connection_finish(connection) == 0 && !is_needed(connection, week)) {
        snprintf(command, sizeof command, "DROP TABLE chunks_w%lld", (long long)week);
        connection_send(connection, command);
        dropped = true;
    }
    if (commit(connection) && dropped)
        log_line(LOG_INFO, "removed the lines of week %lld since 1970: none of its runs is left",
                 (long long)week);
}

/* The oldest week that has a partition; -1: none. */
static int64_t oldest(struct connection *connection)
{
    return ask(
        connection,
        "SELECT coalesce(min(CAST(substr(c.relname, 9) AS bigint)), -1) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid=i.inhrelid WHERE i.inhparent=CAST('chunks' AS regclass) AND "
        "c.relname LIKE 'chunks\\_w%' AND c.relname<>'chunks_w0'",
        NULL);
}

void partitions_tend(struct connection *connection, int64_t now_ms)
{
    int64_t week = now_ms / 1000 / atoi(WEEK_S);

    make(connection, 0); /* for runs that were copied from a store whose keys begin with 1 */
    for (int64_t next = week; next <= week + 1; next++)
        make(connection, next);
    for (int64_t old = oldest(connection); old >= 0 && old < week - 1; old++)
        if (is_there(connection, old))
            drop(connection, old);
}
