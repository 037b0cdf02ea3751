#include "dashboard/store/postgres/connection.h"

#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#define STATEMENTS_MAX 160
#define PENDING_MAX 64 /* sent, and not answered yet */
#define WAIT_MS 20000  /* longer than the limits of the server (see settings) */
#define FETCH_FIRST 16
#define FETCH_MAX 512
/* if a fetch returned fewer bytes, the next one asks for more rows */
#define FETCH_BYTES (256 << 10)
#define SERVER_LEAST 130000 /* PostgreSQL 13 */
#define INT8_OID 20
#define TEXT_OID 25

struct connection {
    const char *url;
    enum connection_use use;
    struct pool *pool;
    PGconn *conn; /* NULL: not connected */
    bool failed, in_transaction;
    int64_t rows;
    bool committed; /* the last answer was the answer to a COMMIT */
    /* the statement that is being prepared; NULL: other statements */
    struct pg_statement *pending[PENDING_MAX];
    int pending_count;
    struct pg_statement statements[STATEMENTS_MAX];
    unsigned statement_count;
};

/* ---- waiting ---- */

static bool lose(struct connection *connection)
{
    connection->failed = true;
    connection_drop(connection);
    return false;
}

/* Waits for bytes until this moment. */
static bool wait_for_bytes(struct connection *connection, bool write_too, int64_t until_ms)
{
    struct pollfd wait = {.fd = PQsocket(connection->conn),
                          .events = (short)(POLLIN | (write_too ? POLLOUT : 0))};
    int64_t left = until_ms - monotonic_ms();

    if (left <= 0 || poll(&wait, 1, (int)left) == 0) {
        log_line(LOG_ERR, "PostgreSQL does not answer");
        return false;
    }
    return !(wait.revents & (POLLIN | POLLHUP | POLLERR)) || PQconsumeInput(connection->conn);
}

/* Reads the next result; *result NULL: a statement has no more results. False: the connection is
 * lost. */
static bool next_result(struct connection *connection, PGresult **result)
{
    int64_t until_ms = monotonic_ms() + WAIT_MS;

    for (;;) {
        int flushed = PQflush(connection->conn);

        if (flushed < 0)
            return false;
        if (!PQisBusy(connection->conn)) {
            *result = PQgetResult(connection->conn);
            return true;
        }
        if (!wait_for_bytes(connection, flushed > 0, until_ms))
            return false;
    }
}

/* Whether the error is not logged here, because the caller tries again or reports it. */
static bool is_expected(const char *state)
{
    static const char *const states[] = {"40P01", "40001", "55P03", NULL}; /* locks */

    for (const char *const *at = states; state && *at; at++)
        if (strcmp(*at, state) == 0)
            return true;
    return false;
}

static void tell_failure(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE),
               *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (!is_expected(state))
        log_line(LOG_ERR, "store: %s%s%s", text ? text : "the connection to PostgreSQL was lost",
                 state ? ", SQLSTATE " : "", state ? state : "");
}

/* Notes how a statement has ended. */
static void note_result(struct connection *connection, struct pg_statement *prepares,
                        const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    connection->committed = false;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        connection->committed = strcmp(PQcmdStatus((PGresult *)result), "COMMIT") == 0;
        connection->rows = atoll(PQcmdTuples((PGresult *)result));
        return;
    }
    if (prepares)
        prepares->prepared = false;
    if (status != PGRES_PIPELINE_ABORTED)
        tell_failure(result);
    connection->failed = true;
    connection->rows = -1;
}

/* Reads the result of one statement that was sent. False: the connection is lost. */
static bool take_result(struct connection *connection, struct pg_statement *prepares,
                        PGresult **keep)
{
    PGresult *result, *end;

    if (!next_result(connection, &result) || !result)
        return false;
    note_result(connection, prepares, result);
    if (keep)
        *keep = result;
    else
        PQclear(result);
    return next_result(connection, &end) && !end && PQstatus(connection->conn) == CONNECTION_OK;
}

/* Waits for everything that was sent. *last: the result of the last statement; may be NULL. */
static int finish(struct connection *connection, PGresult **last)
{
    int count = connection->pending_count;
    PGresult *sync = NULL;
    bool ok;

    if (!connection->conn)
        return -1;
    if (count == 0)
        return connection->failed ? -1 : 0;
    connection->pending_count = 0;
    ok = PQpipelineSync(connection->conn) == 1;
    for (int i = 0; ok && i < count; i++)
        ok = take_result(connection, connection->pending[i], i == count - 1 ? last : NULL);
    ok = ok && next_result(connection, &sync) && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    if (!ok) {
        lose(connection);
        return -1;
    }
    return connection->failed ? -1 : 0;
}

int connection_finish(struct connection *connection)
{
    return finish(connection, NULL);
}

bool connection_committed(struct connection *connection)
{
    return finish(connection, NULL) == 0 && connection->committed;
}

int64_t connection_rows(struct connection *connection)
{
    return finish(connection, NULL) < 0 ? -1 : connection->rows;
}

/* ---- sending ---- */

/* Makes space for what is sent next. */
static bool make_room(struct connection *connection, int count)
{
    if (connection->pending_count + count > PENDING_MAX)
        finish(connection, NULL);
    return connection->conn != NULL;
}

static bool sent(struct connection *connection, int result, struct pg_statement *prepares)
{
    if (result != 1)
        return lose(connection);
    connection->pending[connection->pending_count++] = prepares;
    return true;
}

bool connection_send(struct connection *connection, const char *command)
{
    return make_room(connection, 1) &&
           sent(connection,
                PQsendQueryParams(connection->conn, command, 0, NULL, NULL, NULL, NULL, 1), NULL);
}

/* ---- connecting ---- */

/* Limits that are shorter than WAIT_MS. What is acknowledged must be on disk. */
static const char *const settings[] = {
    "SET statement_timeout='15s'",
    "SET lock_timeout='5s'",
    "SET idle_in_transaction_session_timeout='20s'",
    "SET jit=off",
    ("SELECT set_config('synchronous_commit','on',false) WHERE "
     "current_setting('synchronous_commit') IN ('off','local','remote_write')"),
};

/* What the admin sees in pg_stat_activity. */
static const char *const uses[] = {"SET application_name='nixfleet-dashboard reads'",
                                   "SET application_name='nixfleet-dashboard writes'",
                                   "SET application_name='nixfleet-dashboard listens'"};

static int refuse(struct connection *connection, char *error, const char *why)
{
    const char *host = PQhost(connection->conn);

    snprintf(error, STORE_ERROR_SIZE, "PostgreSQL at %s: %s", host && *host ? host : "?", why);
    connection_drop(connection);
    return -2;
}

/* What this engine requires of a server. */
static int check_server(struct connection *connection, char *error)
{
    const char *encoding = PQparameterStatus(connection->conn, "server_encoding"),
               *standby = PQparameterStatus(connection->conn, "in_hot_standby");

    if (PQparameterStatus(connection->conn, "crdb_version"))
        return refuse(connection, error,
                      "CockroachDB has no LISTEN and NOTIFY; it is not supported");
    if (PQserverVersion(connection->conn) < SERVER_LEAST)
        return refuse(connection, error, "the server is older than PostgreSQL 13");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return refuse(connection, error,
                      "the database is not in UTF8: create it with ENCODING 'UTF8'");
    if (standby && strcmp(standby, "on") == 0)
        return refuse(connection, error,
                      "the server is a standby, which takes no writes; with several hosts in the "
                      "URL, add target_session_attrs=read-write");
    return 0;
}

static int set_up(struct connection *connection, char *error)
{
    if (PQsetnonblocking(connection->conn, 1) < 0 || PQenterPipelineMode(connection->conn) != 1)
        return refuse(connection, error, PQerrorMessage(connection->conn));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        connection_send(connection, settings[i]);
    connection_send(connection, uses[connection->use]);
    if (connection->use == CONNECTION_READS)
        connection_send(connection, "SET default_transaction_read_only=on");
    if (connection_finish(connection) == 0)
        return 0;
    snprintf(error, STORE_ERROR_SIZE, "PostgreSQL refuses the settings of a session");
    connection_drop(connection);
    return -1;
}

/* The URL overrides the values before it. */
static PGconn *connect_by_url(const char *url)
{
    static const char *const names[] = {"fallback_application_name",
                                        "connect_timeout",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "tcp_user_timeout",
                                        "dbname",
                                        "client_encoding",
                                        NULL};
    const char *const values[] = {
        "nixfleet-dashboard", "5", "10", "5", "3", "15000", url, "UTF8", NULL};

    return PQconnectdbParams(names, values, 1);
}

/* The text of libpq in one line. */
static void take_error(PGconn *conn, char *error)
{
    snprintf(error, STORE_ERROR_SIZE, "PostgreSQL: %s",
             conn ? PQerrorMessage(conn) : "out of memory");
    for (char *at = error; *at; at++)
        if (*at == '\n' || *at == '\t')
            *at = ' ';
    for (size_t size = strlen(error); size > 0 && error[size - 1] == ' '; size--)
        error[size - 1] = '\0';
}

static void pass_over_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

int connection_open(struct connection *connection, char error[STORE_ERROR_SIZE])
{
    connection_drop(connection);
    connection->conn = connect_by_url(connection->url);
    if (!connection->conn || PQstatus(connection->conn) != CONNECTION_OK) {
        take_error(connection->conn, error);
        connection_drop(connection);
        return -1;
    }
    PQsetNoticeReceiver(connection->conn, pass_over_notice, NULL);
    connection->failed = false;
    if (check_server(connection, error) < 0)
        return -2;
    return set_up(connection, error);
}

struct connection *connection_new(const char *url, enum connection_use use, struct pool *pool)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection) {
        connection->url = url;
        connection->use = use;
        connection->pool = pool;
    }
    return connection;
}

void connection_free(struct connection *connection)
{
    if (!connection)
        return;
    connection_drop(connection);
    for (unsigned i = 0; i < connection->statement_count; i++) {
        pg_clear(&connection->statements[i]);
        free(connection->statements[i].text);
    }
    free(connection);
}

bool connection_alive(struct connection *connection)
{
    return connection->conn && PQstatus(connection->conn) == CONNECTION_OK;
}

bool connection_went(struct connection *connection)
{
    struct pollfd wait = {.events = POLLIN};

    if (!connection_alive(connection))
        return true;
    wait.fd = PQsocket(connection->conn);
    if (poll(&wait, 1, 0) == 0)
        return false;
    if (PQconsumeInput(connection->conn) && PQstatus(connection->conn) == CONNECTION_OK)
        return false;
    connection_drop(connection);
    return true;
}

void connection_drop(struct connection *connection)
{
    if (connection->conn)
        PQfinish(connection->conn);
    connection->conn = NULL;
    connection->pending_count = 0;
    connection->in_transaction = false;
    for (unsigned i = 0; i < connection->statement_count; i++)
        connection->statements[i].prepared = false;
}

bool connection_failed(const struct connection *connection)
{
    return connection->failed || !connection->conn;
}

void connection_recover(struct connection *connection)
{
    connection->failed = false;
}

void connection_in_transaction(struct connection *connection, bool open)
{
    connection->in_transaction = open;
}

struct pool *connection_pool(struct connection *connection)
{
    return connection->pool;
}

PGconn *connection_handle(struct connection *connection)
{
    return connection->conn;
}

/* ---- statements ---- */

/* Replaces `?` by `$` and its number, unless the number follows. No literal in our statements
 * contains `?`. The caller frees the result. */
static char *number_parameters(const char *sql)
{
    char *text = malloc(strlen(sql) * 2 + 1), *to = text;
    unsigned highest = 0;

    while (text && *sql) {
        char *end;

        if (*sql != '?') {
            *to++ = *sql++;
            continue;
        }
        if (sql[1] >= '1' && sql[1] <= '9') {
            unsigned number = (unsigned)strtoul(sql + 1, &end, 10);

            highest = number > highest ? number : highest;
            to += sprintf(to, "$%u", number);
            sql = end;
        } else {
            to += sprintf(to, "$%u", ++highest);
            sql++;
        }
    }
    if (text)
        *to = '\0';
    return text;
}

static struct pg_statement *find(struct connection *connection, const char *sql)
{
    struct pg_statement *statement = connection->statements;

    for (; statement < connection->statements + connection->statement_count; statement++)
        if (statement->sql == sql)
            return statement;
    if (connection->statement_count == STATEMENTS_MAX) {
        log_line(LOG_ERR, "store: too many statements");
        return NULL;
    }
    *statement = (struct pg_statement){.connection = connection,
                                       .sql = sql,
                                       .text = number_parameters(sql),
                                       .number = connection->statement_count};
    if (!statement->text)
        return NULL;
    connection->statement_count++;
    return statement;
}

struct pg_statement *connection_statement(struct connection *connection, const char *sql, bool many)
{
    struct pg_statement *statement = connection_failed(connection) ? NULL : find(connection, sql);

    if (statement) {
        pg_clear(statement);
        statement->many = many;
    }
    return statement;
}

/* Parameters in the protocol's binary form. */
struct parameters {
    Oid types[SQL_VALUES_MAX];
    const char *values[SQL_VALUES_MAX];
    int lengths[SQL_VALUES_MAX], formats[SQL_VALUES_MAX];
    uint64_t numbers[SQL_VALUES_MAX];
};

static void fill(struct parameters *parameters, const struct sql_value *values, int count)
{
    for (int i = 0; i < count; i++) {
        parameters->formats[i] = 1;
        if (values[i].is_text) {
            parameters->types[i] = TEXT_OID;
            parameters->values[i] = values[i].text;
            parameters->lengths[i] = (int)values[i].size;
        } else {
            parameters->types[i] = INT8_OID;
            parameters->numbers[i] = htobe64((uint64_t)values[i].number);
            parameters->values[i] =
                values[i].is_null ? NULL : (const char *)&parameters->numbers[i];
            parameters->lengths[i] = 8;
        }
    }
}

static void send_statement(struct pg_statement *statement, const struct parameters *parameters,
                           int count)
{
    struct connection *connection = statement->connection;
    char name[32];

    snprintf(name, sizeof name, "s%u", statement->number);
    if (!make_room(connection, 2))
        return;
    if (!statement->prepared) {
        if (!sent(connection,
                  PQsendPrepare(connection->conn, name, statement->text, count, parameters->types),
                  statement))
            return;
        statement->prepared = true;
    }
    sent(connection,
         PQsendQueryPrepared(connection->conn, name, count, parameters->values, parameters->lengths,
                             parameters->formats, 1),
         NULL);
}

static bool send_fetch(struct pg_statement *statement)
{
    char command[64];

    snprintf(command, sizeof command, "FETCH FORWARD %d FROM c%u", statement->fetch,
             statement->number);
    return connection_send(statement->connection, command);
}

static void send_cursor(struct pg_statement *statement, const struct parameters *parameters,
                        int count)
{
    struct connection *connection = statement->connection;
    char *command = NULL;

    if (!connection->in_transaction) {
        connection_send(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        connection->in_transaction = statement->began = true;
    }
    if (!make_room(connection, 2))
        return;
    if (asprintf(&command, "DECLARE c%u NO SCROLL CURSOR FOR %s", statement->number,
                 statement->text) < 0) {
        connection->failed = true;
        return;
    }
    sent(connection,
         PQsendQueryParams(connection->conn, command, count, parameters->types, parameters->values,
                           parameters->lengths, parameters->formats, 1),
         NULL);
    free(command);
    statement->fetch = FETCH_FIRST;
    if (connection->conn)
        send_fetch(statement);
}

void pg_bind(struct statement *statement, const struct sql_value *values, int count)
{
    struct pg_statement *own = (struct pg_statement *)statement;
    struct parameters parameters;

    fill(&parameters, values, count);
    own->sent = true;
    if (own->many)
        send_cursor(own, &parameters, count);
    else
        send_statement(own, &parameters, count);
}

/* Fetches the next rows of a cursor. */
static int fetch_more(struct pg_statement *statement, size_t bytes)
{
    PQclear(statement->result);
    statement->result = NULL;
    if (bytes < FETCH_BYTES && statement->fetch < FETCH_MAX)
        statement->fetch *= 2;
    else if (bytes > 4 * FETCH_BYTES && statement->fetch > 1)
        statement->fetch /= 2;
    if (!send_fetch(statement))
        return -1;
    return finish(statement->connection, &statement->result);
}

static void see_rows(struct pg_statement *statement)
{
    statement->row = -1;
    statement->rows = PQntuples(statement->result);
    statement->last = !statement->many || statement->rows < statement->fetch;
}

int pg_step(struct statement *statement)
{
    struct pg_statement *own = (struct pg_statement *)statement;

    if (!own->sent)
        pg_bind(statement, NULL, 0);
    if (!own->result) {
        if (finish(own->connection, &own->result) < 0)
            return -1;
        see_rows(own);
    }
    if (++own->row < own->rows)
        return 1;
    if (own->last)
        return 0;
    if (fetch_more(own, PQresultMemorySize(own->result)) < 0)
        return -1;
    see_rows(own);
    return ++own->row < own->rows ? 1 : 0;
}

void pg_clear(struct pg_statement *statement)
{
    struct connection *connection = statement->connection;
    char command[32];

    PQclear(statement->result);
    statement->result = NULL;
    if (statement->sent && statement->many && connection->conn) {
        snprintf(command, sizeof command, "CLOSE c%u", statement->number);
        if (!connection->failed)
            connection_send(connection, command);
        if (statement->began) {
            connection_send(connection, "COMMIT");
            connection->in_transaction = false;
        }
    }
    statement->sent = statement->began = false;
}

/* ---- columns ---- */

bool pg_column_null(struct statement *statement, int column)
{
    const struct pg_statement *own = (const struct pg_statement *)statement;

    return PQgetisnull(own->result, own->row, column);
}

int64_t pg_column_int64(struct statement *statement, int column)
{
    const struct pg_statement *own = (const struct pg_statement *)statement;
    const char *value = PQgetvalue(own->result, own->row, column);
    uint64_t eight;
    uint32_t four;

    if (PQgetisnull(own->result, own->row, column))
        return 0;
    if (PQgetlength(own->result, own->row, column) == 8) {
        memcpy(&eight, value, sizeof eight);
        return (int64_t)be64toh(eight);
    }
    memcpy(&four, value, sizeof four);
    return (int32_t)be32toh(four);
}

const char *pg_column_text(struct statement *statement, int column)
{
    const struct pg_statement *own = (const struct pg_statement *)statement;

    return PQgetisnull(own->result, own->row, column) ? NULL
                                                      : PQgetvalue(own->result, own->row, column);
}

size_t pg_column_size(struct statement *statement, int column)
{
    const struct pg_statement *own = (const struct pg_statement *)statement;

    return (size_t)PQgetlength(own->result, own->row, column);
}
