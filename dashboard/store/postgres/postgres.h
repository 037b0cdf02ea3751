/* Declarations for the files of this engine. One connection writes: a group of jobs is one
   transaction. A limited pool of connections reads, and one connection listens for changes that
   other servers have written.

   Several servers may write at the same time. A job says which host it is about; the transaction
   locks the hosts of its jobs first, in a fixed order, so that servers never wait for each other in
   a circle, and changes of a host happen one after the other. Versions are taken under these locks,
   so that of two changes of a run, the one that is committed later has the higher version. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_POSTGRES_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_POSTGRES_H

#include <stdatomic.h>

#include "common/worker.h"
#include "dashboard/store/jobs.h"
#include "dashboard/store/postgres/connection.h"
#include "dashboard/store/postgres/pool.h"
#include "dashboard/store/sql/sql.h"

#define NODE_SIZE 17

struct listener;

/* The clock of PostgreSQL, as this server knows it: the monotonic clock and this difference. So a
 * jump of this machine's clock has no effect. */
struct pg_clock {
    atomic_int_least64_t apart_ms;
    int64_t jumped_ms; /* the listener's: how far PostgreSQL's clock has jumped since this was
                          handled */
    bool known;
};

struct store {
    struct sql_store sql;
    char *url;
    char node[NODE_SIZE]; /* names the notifications of this server; new at each start */
    struct pool *pool;
    struct listener *listener;
    struct pg_clock clock;
    struct jobs jobs;
    struct changes changes;

    struct connection *writer;  /* the fields from here on belong to the writer thread */
    int64_t retry_ms, pause_ms; /* monotonic: when to connect again; how long to wait after that */
    int64_t version;
    unsigned versions_left;
};

/* Creates the tables, or migrates them to this version, under a lock that only one server can hold.
 * Returns 0, or -1 with a sentence in error. */
int pg_migrate(struct connection *writer, char error[STORE_ERROR_SIZE]);

/* Whether the tables exist and have a version that this program can use, or can be created. Changes
 * nothing. Returns 0, or -1 with a sentence in error. */
int pg_check_tables(struct connection *connection, char error[STORE_ERROR_SIZE]);

/* Locks the hosts of these jobs until the end of the transaction. Sends only, does not wait. False:
 * out of memory. */
bool pg_lock_hosts(struct txn *txn, const struct job *group);
void pg_lock_host(struct txn *txn, const char *host);

/* txn_calls_add of store.h. */
int pg_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows, size_t count);
/* Removes the windows that began more than an hour ago. */
void pg_calls_forget(struct connection *connection);

/* Sends the changes of a transaction to the other servers, as a part of the transaction. Sends
 * only, does not wait. */
void pg_notify(struct txn *txn, const struct change *changes, size_t count);
/* Starts the thread that receives the changes of other servers and maintains the pool. NULL when
 * out of resources. */
struct listener *pg_listen(struct store *store);
void pg_listen_stop(struct listener *listener);

/* Until pg_clock_read has succeeded, the clock is that of this machine. */
void pg_clock_start(struct pg_clock *clock);
int64_t pg_now_ms(struct store *store);
/* Asks PostgreSQL for the time. Only one thread at a time may call. */
void pg_clock_read(struct store *store, struct connection *connection);
/* In a job: moves the stored times after a jump of PostgreSQL's clock, unless another server has
 * done this. */
enum job_result pg_clock_move(struct txn *txn, int64_t jump_ms);

extern const struct sql_driver pg_driver;

#endif
