/* Creates the tables, and migrates them to newer versions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/store/postgres/postgres.h"
#include "dashboard/store/postgres/schema.h"

#define LOCK "6083474316513869824" /* no other program uses this number */

/* kv exists from the beginning; its rows say what else exists. */
static bool begin(struct connection *writer)
{
    return connection_send(writer, "BEGIN") &&
           connection_send(writer, "SELECT pg_advisory_xact_lock(" LOCK ")") &&
           connection_send(writer, "CREATE TABLE IF NOT EXISTS kv(name text PRIMARY KEY, value "
                                   "bigint)") &&
           connection_finish(writer) == 0;
}

/* A row of kv; 0 if there is none, -1 on failure. */
static int64_t read_number(struct connection *writer, const char *sql)
{
    struct pg_statement *statement = connection_statement(writer, sql, false);
    int step = statement ? pg_step(&statement->head) : -1;
    int64_t number = step > 0 ? pg_column_int64(&statement->head, 0) : step;

    if (statement)
        pg_clear(statement);
    return number;
}

/* A step has many statements, which are sent one by one, because the protocol takes one at a
 * time. */
static bool run_step(struct connection *writer, const char *step)
{
    char *text = strdup(step), *rest = text;
    bool ok = text != NULL;

    for (char *command; ok && (command = strsep(&rest, ";"));)
        ok = !*command || connection_send(writer, command);
    free(text);
    return ok && connection_finish(writer) == 0;
}

static bool note_step(struct connection *writer, int done)
{
    char command[160];

    snprintf(command, sizeof command,
             "INSERT INTO kv(name, value) VALUES('schema',%d) ON CONFLICT(name) DO UPDATE SET "
             "value=%d",
             done, done);
    return connection_send(writer, command);
}

static int64_t read_row(struct connection *connection, const char *name)
{
    return strcmp(name, "schema") == 0
               ? read_number(connection, "SELECT value FROM kv WHERE name='schema'")
               : read_number(connection, "SELECT value FROM kv WHERE name='schema_least'");
}

static int fail(struct connection *writer, char *error, const char *why)
{
    snprintf(error, STORE_ERROR_SIZE, "the tables in PostgreSQL cannot be prepared: %s", why);
    connection_drop(writer);
    return -1;
}

int pg_migrate(struct connection *writer, char error[STORE_ERROR_SIZE])
{
    int64_t done, least;

    if (!begin(writer))
        return fail(writer, error,
                    "may this user create tables in the database? (see the log above)");
    done = read_row(writer, "schema");
    least = read_row(writer, "schema_least");
    if (done < 0 || least < 0)
        return fail(writer, error, "they cannot be read");
    if (least > SCHEMA_STEPS)
        return fail(writer, error, "they are of a newer version of nixfleet");
    for (; done < SCHEMA_STEPS; done++)
        if (!run_step(writer, schema_steps[done]) || !note_step(writer, (int)done + 1))
            return fail(writer, error, "a migration failed");
    if (!connection_send(writer, "COMMIT") || !connection_committed(writer))
        return fail(writer, error, "a migration failed");
    return 0;
}

int pg_check_tables(struct connection *connection, char error[STORE_ERROR_SIZE])
{
    bool there = read_number(connection, "SELECT count(to_regclass('kv'))") > 0,
         may =
             read_number(connection, "SELECT count(*) WHERE has_schema_privilege(current_schema(), "
                                     "'CREATE')") > 0;
    int64_t done = there ? read_row(connection, "schema") : 0,
            least = there ? read_row(connection, "schema_least") : 0;

    if (connection_failed(connection) || done < 0 || least < 0)
        return fail(connection, error, "they cannot be read");
    if (least > SCHEMA_STEPS)
        return fail(connection, error, "they are of a newer version of nixfleet");
    if (!may)
        return fail(connection, error,
                    "this user may not create tables in the database: make it "
                    "the owner of the database");
    return 0;
}
