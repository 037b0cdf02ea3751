/* A connection to PostgreSQL. Statements are prepared once and sent without waiting (libpq's
   pipeline mode): only a result that is needed costs a round trip. Every wait has a limit; a server
   that does not answer within the limit counts as lost. One thread at a time uses a connection. */
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
    unsigned number; /* makes its name, and that of its cursor */
    bool many;       /* read through a cursor */
    bool prepared;   /* in the server's session */
    bool sent;       /* since the last reset */
    bool pooled;     /* counts as a use of its pooled connection, until it is reset */
    bool began;      /* its cursor needed a transaction of its own */
    PGresult *result;
    int row, rows; /* of result; row -1: before the first */
    int fetch;     /* of a cursor: how many rows to ask for next */
    bool last;     /* of a cursor: result has its last rows */
};

enum connection_use { CONNECTION_READS, CONNECTION_WRITES, CONNECTION_LISTENS };

/* Makes a connection that is not connected yet. The URL and pool (NULL: none) must outlive it. NULL
 * when out of memory. */
struct connection *connection_new(const char *url, enum connection_use use, struct pool *pool);
void connection_free(struct connection *connection);
/* Connects, anew if it was connected before; may take seconds. 0, or -1 with a sentence in error.
 */
int connection_open(struct connection *connection, char error[STORE_ERROR_SIZE]);
/* Whether it is connected, as far as is known without asking. */
bool connection_alive(struct connection *connection);
/* Whether the server, or the network, has ended the connection while it was idle. */
bool connection_went(struct connection *connection);
/* Drops the connection: the server undoes what was not committed. */
void connection_drop(struct connection *connection);

/* Sends a command without parameters, and does not wait. False: the connection is lost. */
bool connection_send(struct connection *connection, const char *command);
/* Waits until everything that was sent is done. 0; -1: some of it failed, or the connection is
 * lost. */
int connection_finish(struct connection *connection);
/* The same, and whether the last command that was sent was a COMMIT that did commit. */
bool connection_committed(struct connection *connection);
/* Whether something has failed since the last connection_recover: nothing more can be done in this
 * transaction. */
bool connection_failed(const struct connection *connection);
void connection_recover(struct connection *connection);
/* Rows that the last statement changed; -1: it failed. */
int64_t connection_rows(struct connection *connection);
/* Notes that a transaction is open, or is none any more: a cursor needs one. */
void connection_in_transaction(struct connection *connection, bool open);

/* The kept statement for a literal, ready to be bound. NULL: the connection is lost or has
 * failed. */
struct pg_statement *connection_statement(struct connection *connection, const char *sql,
                                          bool many);
struct pool *connection_pool(struct connection *connection);
PGconn *connection_handle(struct connection *connection);

/* The part of struct sql_driver that works on one statement (see sql.h). */
void pg_bind(struct statement *statement, const struct sql_value *values, int count);
int pg_step(struct statement *statement);
/* Forgets the rows. */
void pg_clear(struct pg_statement *statement);
bool pg_column_null(struct statement *statement, int column);
int64_t pg_column_int64(struct statement *statement, int column);
const char *pg_column_text(struct statement *statement, int column);
size_t pg_column_size(struct statement *statement, int column);

#endif
