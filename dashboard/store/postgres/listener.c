/* Learns what other servers have written. Each transaction sends its changes with NOTIFY; one
   thread listens. A payload has the node that wrote, and a line for each change: `c` or `p`
   (progress), the host, and the run. Too many changes are one `*`. After a lost connection, and for
   a `*`, every host and the runs that may have changed are passed on, so that a lost notification
   has no effect.

   The thread also maintains the pool and the partitions, and follows PostgreSQL's clock. */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/store/postgres/partitions.h"
#include "dashboard/store/postgres/postgres.h"

#define PAYLOAD_MAX 7900 /* bytes; the server accepts fewer than 8000 */
#define PAYLOADS_MAX 16  /* of one transaction */
#define LOOK_MS 250      /* how often the pool is checked */
#define TEND_MS 30000    /* how often partitions are checked */
#define CLOCK_MS 2000    /* how often PostgreSQL is asked for the time */
#define PAUSE_MAX_MS 1000
#define RECENT_MS (60 * 60 * 1000) /* a run that ended longer ago does not change any more */

struct listener {
    struct store *store;
    struct connection *connection;
    struct worker worker;
    struct change *changes; /* read from one payload */
    size_t room;
    bool away;                      /* PostgreSQL is not available, and this was logged */
    int64_t tended_ms, followed_ms; /* monotonic time; 0: not yet */
    struct job job;                 /* moves stored times by jump_ms */
    int64_t jump_ms;
    _Atomic enum { NOT_MOVED, MOVING, MOVED } result;
};

/* ---- sending ---- */

static void send_payload(struct txn *txn, const char *payload)
{
    struct statement *notify = txn_statement(txn, "SELECT pg_notify('nixfleet',?1)");

    if (notify)
        statement_bind(notify, "t", payload);
}

static size_t line_of(char *out, size_t size, const struct change *change)
{
    return (size_t)snprintf(out, size, "\n%c%s %s", change->progress ? 'p' : 'c', change->host,
                            change->run);
}

void pg_notify(struct txn *txn, const struct change *changes, size_t count)
{
    char payload[PAYLOAD_MAX + 1];
    size_t start = (size_t)snprintf(payload, sizeof payload, "%s", txn->store->node), size = start,
           line_max = HOST_ID_SIZE + RUN_ID_SIZE + 4;

    if (count * line_max > (size_t)PAYLOADS_MAX * PAYLOAD_MAX) {
        snprintf(payload + start, sizeof payload - start, "\n*");
        send_payload(txn, payload);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (size + line_max > sizeof payload) {
            send_payload(txn, payload);
            size = start;
        }
        size += line_of(payload + size, sizeof payload - size, &changes[i]);
    }
    if (size > start)
        send_payload(txn, payload);
}

/* ---- hearing ---- */

static struct change *next_change(struct listener *listener, size_t count)
{
    if (count == listener->room) {
        size_t room = listener->room ? listener->room * 2 : 64;
        struct change *grown = realloc(listener->changes, room * sizeof *grown);

        if (!grown)
            return NULL; /* the next change of the host shows everything */
        listener->changes = grown;
        listener->room = room;
    }
    return &listener->changes[count];
}

static size_t add_change(struct listener *listener, size_t count, const char *host, const char *run,
                         bool progress)
{
    struct change *change = next_change(listener, count);

    if (!change)
        return count;
    *change = (struct change){.progress = progress};
    snprintf(change->host, sizeof change->host, "%s", host);
    snprintf(change->run, sizeof change->run, "%s", run);
    return count + 1;
}

/* Passes on everything that may have changed without a notification. */
static void tell_all(struct listener *listener)
{
    struct store *store = listener->store;
    struct statement *find = store_statement_many(
        store, "SELECT h.id, r.id FROM hosts h LEFT JOIN runs r ON r.host=h.id AND r.deleted=0 AND "
               "(r.ended IS NULL OR r.silent_since>?1 OR r.last_seen>?1)");
    size_t count = 0;
    int step;

    if (!find)
        return;
    statement_bind(find, "i", pg_now_ms(store) - RECENT_MS);
    while ((step = statement_step(find)) > 0) {
        const char *run = column_text(find, 1);

        count = add_change(listener, count, column_text(find, 0), run ? run : "", false);
    }
    statement_end(find, step);
    changes_publish(&store->changes, listener->changes, count);
}

/* A line without its end: `cHOST RUN`. */
static size_t read_line(struct listener *listener, size_t count, char *line)
{
    char *host = line + 1, *run = strchr(line, ' ');

    if (!run || (*line != 'c' && *line != 'p'))
        return count;
    *run++ = '\0';
    return add_change(listener, count, host, run, *line == 'p');
}

static void hear(struct listener *listener, char *payload)
{
    struct store *store = listener->store;
    char *node = strsep(&payload, "\n");
    size_t count = 0;

    if (strcmp(node, store->node) == 0)
        return; /* our own change: passed on after the commit */
    while (payload) {
        char *line = strsep(&payload, "\n");

        if (strcmp(line, "*") == 0) {
            tell_all(listener);
            return;
        }
        count = read_line(listener, count, line);
    }
    changes_publish(&store->changes, listener->changes, count);
}

static void hear_all(struct listener *listener)
{
    PGconn *handle = connection_handle(listener->connection);
    PGnotify *heard;

    while (handle && (heard = PQnotifies(handle))) {
        hear(listener, heard->extra);
        PQfreemem(heard);
    }
}

/* ---- the thread ---- */

static void tell_away(struct listener *listener, const char *error)
{
    if (!listener->away)
        log_line(LOG_ERR, "%s; trying again until it is back", error);
    listener->away = true;
}

/* Whether all connections are connected. */
static bool connect_all(struct listener *listener)
{
    char error[STORE_ERROR_SIZE];
    bool fresh = !connection_alive(listener->connection);

    if (pool_tend(listener->store->pool, error) < 0 ||
        (fresh && connection_open(listener->connection, error) < 0)) {
        tell_away(listener, error);
        return false;
    }
    if (!fresh)
        return true;
    if (!connection_send(listener->connection, "LISTEN nixfleet") ||
        connection_finish(listener->connection) < 0)
        return false;
    if (listener->away)
        log_line(LOG_NOTICE, "PostgreSQL is back");
    listener->away = false;
    listener->followed_ms = 0; /* it may be another server */
    tell_all(listener);
    return true;
}

static enum job_result move(struct txn *txn, void *context)
{
    return pg_clock_move(txn, ((struct listener *)context)->jump_ms);
}

static void moved(void *context, bool ok)
{
    struct listener *listener = context;

    atomic_store(&listener->result, ok ? MOVED : NOT_MOVED);
}

/* Follows PostgreSQL's clock, and lets the writer move stored times after a jump. */
static void follow_clock(struct listener *listener)
{
    struct pg_clock *clock = &listener->store->clock;

    pg_clock_read(listener->store, listener->connection);
    if (atomic_load(&listener->result) == MOVED)
        clock->jumped_ms -= listener->jump_ms;
    if (atomic_load(&listener->result) == MOVING)
        return;
    atomic_store(&listener->result, NOT_MOVED);
    if (!clock->jumped_ms)
        return;
    listener->jump_ms = clock->jumped_ms;
    atomic_store(&listener->result, MOVING);
    listener->job = (struct job){.apply = move, .done = moved, .context = listener};
    jobs_submit(&listener->store->jobs, &listener->job);
}

static void tend(struct listener *listener)
{
    int64_t now_ms = monotonic_ms();

    if (!listener->followed_ms || now_ms - listener->followed_ms >= CLOCK_MS) {
        listener->followed_ms = now_ms;
        follow_clock(listener);
    }
    if (listener->tended_ms && now_ms - listener->tended_ms < TEND_MS)
        return;
    listener->tended_ms = now_ms;
    partitions_tend(listener->connection, pg_now_ms(listener->store));
    connection_recover(listener->connection);
    pg_calls_forget(listener->connection);
    connection_recover(listener->connection);
}

/* Waits for a notification, at most LOOK_MS. */
static void wait_for_word(struct listener *listener)
{
    PGconn *handle = connection_handle(listener->connection);
    struct pollfd wait = {.events = POLLIN};

    if (!handle)
        return;
    wait.fd = PQsocket(handle);
    if (poll(&wait, 1, LOOK_MS) > 0 && !PQconsumeInput(handle))
        connection_drop(listener->connection);
}

static void pause_for(struct listener *listener, int ms)
{
    struct timespec moment = worker_in(ms);

    worker_lock(&listener->worker);
    while (!listener->worker.stopping && worker_wait_until(&listener->worker, &moment))
        ;
    worker_unlock(&listener->worker);
}

static void *listen(void *context)
{
    struct listener *listener = context;
    int pause_ms = LOOK_MS;

    while (!worker_stopping(&listener->worker)) {
        if (!connect_all(listener)) {
            pause_for(listener, pause_ms);
            pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
            continue;
        }
        pause_ms = LOOK_MS;
        tend(listener);
        hear_all(listener); /* also notifications that came while another answer was read */
        wait_for_word(listener);
        hear_all(listener);
    }
    return NULL;
}

struct listener *pg_listen(struct store *store)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (!listener)
        return NULL;
    listener->store = store;
    worker_init(&listener->worker);
    listener->connection = connection_new(store->url, CONNECTION_LISTENS, NULL);
    if (listener->connection && worker_start(&listener->worker, listen, listener) == 0)
        return listener;
    pg_listen_stop(listener);
    return NULL;
}

void pg_listen_stop(struct listener *listener)
{
    if (!listener)
        return;
    worker_stop(&listener->worker);
    worker_destroy(&listener->worker);
    connection_free(listener->connection);
    free(listener->changes);
    free(listener);
}
