#include "dashboard/server/connections.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/io.h"
#include "common/worker.h"

#define LOOK_MS 5000
#define BUCKETS 4096

/* An address that has connections, or whose connection is being accepted. */
struct client {
    LIST_ENTRY(client) link;
    char key[ADDRESS_SIZE];
    size_t count;
};

LIST_HEAD(clients, client);

struct peer {
    LIST_ENTRY(peer) link;
    struct client *client; /* NULL: not counted */
    int socket;
    bool busy;
    int64_t since_ms; /* when the connection began to be without a request */
};

LIST_HEAD(peers, peer);

struct connections {
    int64_t limit_ms;
    struct worker worker; /* its lock protects the list, and each peer in it */
    struct peers peers;
    struct settings_in_use *settings;
    struct clients clients[BUCKETS];
};

/* ---- the number of connections of a client ---- */

static size_t bucket(const char *key)
{
    size_t hash = 5381;

    while (*key)
        hash = hash * 33 + (unsigned char)*key++;
    return hash % BUCKETS;
}

/* The caller holds the lock. NULL: the client has no connection. */
static struct client *find_client(struct connections *connections, const char *key)
{
    struct client *client;

    LIST_FOREACH(client, &connections->clients[bucket(key)], link)
    if (strcmp(client->key, key) == 0)
        return client;
    return NULL;
}

/* The caller holds the lock. NULL when out of memory. */
static struct client *count_client(struct connections *connections, const char *key)
{
    struct client *client = find_client(connections, key);

    if (!client && (client = calloc(1, sizeof *client))) {
        strlcpy(client->key, key, sizeof client->key);
        LIST_INSERT_HEAD(&connections->clients[bucket(key)], client, link);
    }
    if (client)
        client->count++;
    return client;
}

/* The caller holds the lock. */
static void uncount_client(struct client *client)
{
    if (!client || --client->count > 0)
        return;
    LIST_REMOVE(client, link);
    free(client);
}

static bool is_exempt(struct connections *connections, const struct address *address)
{
    struct settings_holder *holder = settings_hold(connections->settings);
    const struct dashboard_settings *settings = settings_of(holder);
    bool exempt = settings->trust_proxy_headers && settings->trusted_proxies
                      ? networks_hold(&settings->proxies, address)
                      : address_loopback(address);

    settings_release(holder);
    return exempt;
}

/* False: the address is not counted. */
static bool key_of(struct connections *connections, const struct sockaddr *socket,
                   char key[ADDRESS_SIZE])
{
    struct address address;

    if (!address_of_socket(socket, &address) || is_exempt(connections, &address))
        return false;
    address_key(&address, key);
    return true;
}

enum MHD_Result connections_accept(void *context, const struct sockaddr *address, socklen_t size)
{
    struct connections *connections = context;
    char key[ADDRESS_SIZE];
    struct client *client;
    bool many;

    (void)size;
    /* Makes the thread's error state while there is memory: OpenSSL 3.6 that has no memory for it
     * calls itself until the stack ends. */
    ERR_clear_error();
    if (!key_of(connections, address, key))
        return MHD_YES;
    worker_lock(&connections->worker);
    client = find_client(connections, key);
    many = client && client->count >= CONNECTIONS_PER_CLIENT;
    worker_unlock(&connections->worker);
    return many ? MHD_NO : MHD_YES;
}

/* ---- connections without a request ---- */

static void add(struct connections *connections, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct peer *peer = info ? calloc(1, sizeof *peer) : NULL;
    char key[ADDRESS_SIZE];

    *context = peer;
    if (!peer)
        return; /* the connection is served, but not watched */
    peer->socket = info->connect_fd;
    peer->since_ms = monotonic_ms();
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    worker_lock(&connections->worker);
    if (info && key_of(connections, info->client_addr, key))
        peer->client = count_client(connections, key);
    LIST_INSERT_HEAD(&connections->peers, peer, link);
    worker_unlock(&connections->worker);
}

void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code)
{
    struct connections *connections = context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add(connections, connection, peer);
    } else if (*peer) { /* before the descriptor is closed and reused for another connection */
        worker_lock(&connections->worker);
        uncount_client(((struct peer *)*peer)->client);
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

/* The caller holds the lock. */
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

struct connections *connections_new(int64_t limit_ms, struct settings_in_use *settings)
{
    struct connections *connections = calloc(1, sizeof *connections);

    if (!connections)
        return NULL;
    connections->limit_ms = limit_ms;
    connections->settings = settings;
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
