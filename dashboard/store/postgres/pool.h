/* The connections that read, shared by all threads: a bounded number. A thread that reads holds one
   of them from its first statement until the last is reset, or its snapshot ends. Threads that
   serve requests never connect: another thread tends the pool. So while PostgreSQL is away, reading
   fails at once. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_POOL_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_POOL_H

#include "dashboard/store/postgres/connection.h"

/* The URL must outlive the pool. NULL when out of memory. */
struct pool *pool_new(const char *url);
/* After the last pool_leave. */
void pool_free(struct pool *pool);

/* Connects what is not connected; may take seconds. Called by one thread. 0, or -1 with a sentence
 * in error: PostgreSQL is away. */
int pool_tend(struct pool *pool, char error[STORE_ERROR_SIZE]);

/* This thread's connection, for one more use. Waits when others use all of them. NULL: none can be
 * had, which counts as a failed read. */
struct connection *pool_enter(struct pool *pool);
/* The connection that this thread holds; NULL: none. */
struct connection *pool_held(struct pool *pool);
/* Ends a use. */
void pool_leave(struct pool *pool);

/* A read of this thread has failed. */
void pool_fail(struct pool *pool);
/* Whether one has since the last call. */
bool pool_failed(struct pool *pool);

#endif
