/* A connection to PostgreSQL. Statements are prepared once and sent without waiting (libpq's
   pipeline mode), so that only a result that is needed costs a round trip. Every wait has a limit;
   a server that does not answer within the limit counts as lost. Only one thread at a time may use
   a connection. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_CONNECTION_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/sql/sql.h"

struct connection;
struct pool;

/* A prepared statement, and the rows that it has returned. */
struct pg_statement {
    struct statement head;
    struct connection *connection;
    const char *sql; /* the address of the literal is the key */
    char *text;      /* the same with $1 for ?1 */
    unsigned number; /* gives the statement and its cursor their names */
    bool many;       /* read through a cursor */
    bool prepared;   /* it is prepared in the server's session */
    bool sent;       /* since the last reset */
    bool pooled;     /* counts as a use of its connection of the pool, until it is reset */
    bool began;      /* its cursor needed a transaction of its own */
    PGresult *result;
    int row, rows; /* of result; row -1: before the first */
    int fetch;     /* of a cursor: how many rows to ask for next */
    bool last;     /* of a cursor: result has the last rows */
};

enum connection_use { CONNECTION_READS, CONNECTION_WRITES, CONNECTION_LISTENS };

/* Makes a connection that is not connected yet. The URL and pool (NULL: none) must be valid until
 * connection_free. NULL when out of memory. */
struct connection *connection_new(const char *url, enum connection_use use, struct pool *pool);
void connection_free(struct connection *connection);
/* Connects, again if it was connected before; may take seconds. Returns 0; -1 if the server cannot
 * be reached now; -2 if the server is not what is needed. Then error has a sentence. */
int connection_open(struct connection *connection, char error[STORE_ERROR_SIZE]);
/* Whether it is connected, as far as is known without asking the server. */
bool connection_alive(struct connection *connection);
/* Whether the server or the network has ended the connection while it was idle. */
bool connection_went(struct connection *connection);
/* Drops the connection; the server rolls back what was not committed. */
void connection_drop(struct connection *connection);

/* Sends a command without parameters; does not wait. False: the connection is lost. */
bool connection_send(struct connection *connection, const char *command);
/* Waits until everything that was sent is done. Returns 0; -1 if some of it failed, or the
 * connection is lost. */
int connection_finish(struct connection *connection);
/* Does the same. Returns whether the last command that was sent was a COMMIT, and succeeded. */
bool connection_committed(struct connection *connection);
/* Whether something has failed since the last connection_recover; then nothing more can be done in
 * this transaction. */
bool connection_failed(const struct connection *connection);
void connection_recover(struct connection *connection);
/* The number of rows that the last statement changed; -1: it failed. */
int64_t connection_rows(struct connection *connection);
/* Sets whether a transaction is open, because a cursor needs one. */
void connection_in_transaction(struct connection *connection, bool open);

/* The stored statement for a literal, ready for binding. NULL: the connection is lost or has
 * failed. */
struct pg_statement *connection_statement(struct connection *connection, const char *sql,
                                          bool many);
struct pool *connection_pool(struct connection *connection);
PGconn *connection_handle(struct connection *connection);

/* The part of struct sql_driver that works on one statement (see sql.h). */
void pg_bind(struct statement *statement, const struct sql_value *values, int count);
int pg_step(struct statement *statement);
/* Frees the rows. */
void pg_clear(struct pg_statement *statement);
bool pg_column_null(struct statement *statement, int column);
int64_t pg_column_int64(struct statement *statement, int column);
const char *pg_column_text(struct statement *statement, int column);
size_t pg_column_size(struct statement *statement, int column);

#endif
