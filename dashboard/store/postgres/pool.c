#include "dashboard/store/postgres/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/worker.h"

#define CONNECTIONS 6 /* about as many threads read at the same time */
#define WAIT_MS 2000  /* how long to wait for a connection that others use */

struct pool {
    /* only its lock and wake-up are used; the lock protects the following fields */
    struct worker worker;
    struct connection *connections[CONNECTIONS];
    bool used[CONNECTIONS];
    pthread_key_t hold;
};

/* What a thread holds. */
struct hold {
    struct connection *connection;
    size_t index;
    unsigned uses;
    bool failed;
};

struct pool *pool_new(const char *url)
{
    struct pool *pool = calloc(1, sizeof *pool);
    bool ok = pool && pthread_key_create(&pool->hold, free) == 0;

    if (!ok) {
        free(pool);
        return NULL;
    }
    worker_init(&pool->worker);
    for (size_t i = 0; i < CONNECTIONS; i++)
        ok = ok && (pool->connections[i] = connection_new(url, CONNECTION_READS, pool));
    if (ok)
        return pool;
    pool_free(pool);
    return NULL;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < CONNECTIONS; i++)
        connection_free(pool->connections[i]);
    free(pthread_getspecific(pool->hold));
    pthread_key_delete(pool->hold);
    worker_destroy(&pool->worker);
    free(pool);
}

/* Finds a connection that is dead and not used; CONNECTIONS: none. */
static size_t take_dead(struct pool *pool)
{
    size_t i = 0;

    worker_lock(&pool->worker);
    while (i < CONNECTIONS && (pool->used[i] || !connection_went(pool->connections[i])))
        i++;
    if (i < CONNECTIONS)
        pool->used[i] = true;
    worker_unlock(&pool->worker);
    return i;
}

static void give_back(struct pool *pool, size_t index)
{
    worker_lock(&pool->worker);
    pool->used[index] = false;
    worker_wake(&pool->worker);
    worker_unlock(&pool->worker);
}

int pool_tend(struct pool *pool, char error[STORE_ERROR_SIZE])
{
    size_t index;

    while ((index = take_dead(pool)) < CONNECTIONS) {
        int opened = connection_open(pool->connections[index], error);

        give_back(pool, index);
        if (opened < 0)
            return -1;
    }
    return 0;
}

static struct hold *hold_of(struct pool *pool)
{
    struct hold *hold = pthread_getspecific(pool->hold);

    if (hold || !(hold = calloc(1, sizeof *hold)))
        return hold;
    if (pthread_setspecific(pool->hold, hold) == 0)
        return hold;
    free(hold);
    return NULL;
}

/* Finds a connection that is alive and free; CONNECTIONS: none. *busy: others use one. The caller
 * holds the lock. */
static size_t take_alive(struct pool *pool, bool *busy)
{
    *busy = false;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (pool->used[i]) {
            *busy = true;
        } else if (!connection_went(pool->connections[i])) {
            pool->used[i] = true;
            return i;
        }
    }
    return CONNECTIONS;
}

static size_t wait_for_one(struct pool *pool)
{
    struct timespec moment = worker_in(WAIT_MS);
    bool busy, in_time = true;
    size_t index;

    worker_lock(&pool->worker);
    while ((index = take_alive(pool, &busy)) == CONNECTIONS && busy && in_time)
        in_time = worker_wait_until(&pool->worker, &moment);
    worker_unlock(&pool->worker);
    return index;
}

struct connection *pool_enter(struct pool *pool)
{
    struct hold *hold = hold_of(pool);
    size_t index;

    if (!hold)
        return NULL;
    if (hold->uses == 0) {
        if ((index = wait_for_one(pool)) == CONNECTIONS) {
            hold->failed = true;
            return NULL;
        }
        hold->index = index;
        hold->connection = pool->connections[index];
        connection_recover(hold->connection);
    }
    hold->uses++;
    return hold->connection;
}

struct connection *pool_held(struct pool *pool)
{
    struct hold *hold = pthread_getspecific(pool->hold);

    return hold && hold->uses > 0 ? hold->connection : NULL;
}

void pool_leave(struct pool *pool)
{
    struct hold *hold = pthread_getspecific(pool->hold);

    if (--hold->uses > 0)
        return;
    connection_finish(hold->connection); /* no transaction may stay open */
    hold->connection = NULL;
    give_back(pool, hold->index);
}

void pool_fail(struct pool *pool)
{
    struct hold *hold = hold_of(pool);

    if (hold)
        hold->failed = true;
}

bool pool_failed(struct pool *pool)
{
    struct hold *hold = pthread_getspecific(pool->hold);
    bool failed = hold && hold->failed;

    if (failed)
        hold->failed = false;
    return failed;
}
