#include "dashboard/server/connections.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/io.h"
#include "common/worker.h"

#define LOOK_MS 5000

struct peer {
    LIST_ENTRY(peer) link;
    int socket;
    bool busy;
    int64_t since_ms; /* without a request */
};

LIST_HEAD(peers, peer);

struct connections {
    int64_t limit_ms;
    struct worker worker; /* its lock protects the list, and each peer in it */
    struct peers peers;
};

static void add(struct connections *connections, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct peer *peer = info ? calloc(1, sizeof *peer) : NULL;

    *context = peer;
    if (!peer)
        return; /* served, but not watched */
    peer->socket = info->connect_fd;
    peer->since_ms = monotonic_ms();
    worker_lock(&connections->worker);
    LIST_INSERT_HEAD(&connections->peers, peer, link);
    worker_unlock(&connections->worker);
}

void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code)
{
    struct connections *connections = context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add(connections, connection, peer);
    } else if (*peer) { /* before the descriptor is closed, and means another connection */
        worker_lock(&connections->worker);
        LIST_REMOVE((struct peer *)*peer, link);
        worker_unlock(&connections->worker);
        free(*peer);
        *peer = NULL;
    }
}

void connections_busy(struct connections *connections, struct MHD_Connection *connection, bool busy)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct peer *peer = info ? info->socket_context : NULL;

    if (!peer)
        return;
    worker_lock(&connections->worker);
    peer->busy = busy;
    peer->since_ms = monotonic_ms();
    worker_unlock(&connections->worker);
}

/* Under lock. */
static void shut_slow(struct connections *connections)
{
    int64_t now = monotonic_ms();
    struct peer *peer;

    LIST_FOREACH(peer, &connections->peers, link)
    if (!peer->busy && now - peer->since_ms > connections->limit_ms)
        shutdown(peer->socket, SHUT_RDWR); /* libmicrohttpd then closes it */
}

static void *look(void *context)
{
    struct connections *connections = context;

    worker_lock(&connections->worker);
    while (!connections->worker.stopping) {
        shut_slow(connections);
        worker_wait(&connections->worker, LOOK_MS);
    }
    worker_unlock(&connections->worker);
    return NULL;
}

struct connections *connections_new(int64_t limit_ms)
{
    struct connections *connections = calloc(1, sizeof *connections);

    if (!connections)
        return NULL;
    connections->limit_ms = limit_ms;
    LIST_INIT(&connections->peers);
    worker_init(&connections->worker);
    if (worker_start(&connections->worker, look, connections) == 0)
        return connections;
    connections_free(connections);
    return NULL;
}

void connections_free(struct connections *connections)
{
    if (!connections)
        return;
    worker_stop(&connections->worker);
    worker_destroy(&connections->worker);
    free(connections);
}
