#include "dashboard/server/connections.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "common/io.h"
#include "common/timed.h"

#define LOOK_MS 5000

struct peer {
    LIST_ENTRY(peer) link;
    int socket;
    bool busy;
    int64_t since_ms; /* without a request */
};

LIST_HEAD(peers, peer);

struct connections {
    pthread_mutex_t lock; /* over the list, and over each peer in it */
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping;
    int64_t limit_ms;
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
    pthread_mutex_lock(&connections->lock);
    LIST_INSERT_HEAD(&connections->peers, peer, link);
    pthread_mutex_unlock(&connections->lock);
}

void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code)
{
    struct connections *connections = context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add(connections, connection, peer);
    } else if (*peer) { /* before the descriptor is closed, and means another connection */
        pthread_mutex_lock(&connections->lock);
        LIST_REMOVE((struct peer *)*peer, link);
        pthread_mutex_unlock(&connections->lock);
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
    pthread_mutex_lock(&connections->lock);
    peer->busy = busy;
    peer->since_ms = monotonic_ms();
    pthread_mutex_unlock(&connections->lock);
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

    pthread_mutex_lock(&connections->lock);
    while (!connections->stopping) {
        struct timespec until;

        shut_slow(connections);
        until = timed_in(LOOK_MS);
        timed_wait(&connections->wake, &connections->lock, &until);
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

struct connections *connections_new(int64_t limit_ms)
{
    struct connections *connections = calloc(1, sizeof *connections);

    if (!connections)
        return NULL;
    connections->limit_ms = limit_ms;
    LIST_INIT(&connections->peers);
    pthread_mutex_init(&connections->lock, NULL);
    timed_init(&connections->wake);
    if (pthread_create(&connections->thread, NULL, look, connections) == 0)
        return connections;
    free(connections);
    return NULL;
}

void connections_free(struct connections *connections)
{
    if (!connections)
        return;
    pthread_mutex_lock(&connections->lock);
    connections->stopping = true;
    pthread_cond_signal(&connections->wake);
    pthread_mutex_unlock(&connections->lock);
    pthread_join(connections->thread, NULL);
    pthread_cond_destroy(&connections->wake);
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}
