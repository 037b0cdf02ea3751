/* The reading connections, a limited number for all threads. A thread holds one of them from its
   first statement until the last one is reset, or its snapshot ends. Threads that serve requests
   never connect: another thread maintains the pool. So while PostgreSQL is not available, reading
   fails at once. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_POOL_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_POOL_H

#include "dashboard/store/postgres/connection.h"

/* The URL must be valid until pool_free. NULL when out of memory. */
struct pool *pool_new(const char *url);
/* To be called after the last pool_leave. */
void pool_free(struct pool *pool);

/* Connects what is not connected; may take seconds. Only one thread may call. Returns 0, or -1 with
 * a sentence in error: PostgreSQL is not available. */
int pool_tend(struct pool *pool, char error[STORE_ERROR_SIZE]);

/* This thread's connection, for one more use. Waits while others use all of them. NULL: none is
 * available, so the read fails. */
struct connection *pool_enter(struct pool *pool);
/* The connection that this thread holds; NULL: none. */
struct connection *pool_held(struct pool *pool);
/* Ends a use. */
void pool_leave(struct pool *pool);

/* To be called when a read of this thread has failed. */
void pool_fail(struct pool *pool);
/* Whether a read of this thread has failed since the last call. */
bool pool_failed(struct pool *pool);

#endif
