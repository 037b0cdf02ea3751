/* The live channel: one thread that tells every open page, by WebSocket, what has changed. It holds
   no queue of lines: of each client it knows what that client has seen, and builds the next message
   from the store when the client can take one. A client that does not read costs nothing but its
   socket. */
#ifndef NIXFLEET_DASHBOARD_LIVE_H
#define NIXFLEET_DASHBOARD_LIVE_H

#include <stddef.h>

#include "http.h"

struct live;

/* Starts the thread. NULL when out of resources. */
struct live *live_start(struct server *server);
void live_stop(struct live *live);
size_t live_count(struct live *live);
/* Takes over an upgraded connection. csrf: of its session. close: gives the socket back to
 * libmicrohttpd. */
void live_add(struct live *live, int socket, const char *csrf,
              struct MHD_UpgradeResponseHandle *handle, const char *extra, size_t extra_size);

/* How much of a run a client has. */
struct tail {
    char run[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t k, next, version; /* lines below next, as of version, are at the client */
    bool due;
};

/* Starts at line from (negative: that many from the end). False: there is no such run. */
bool live_tail(struct store *store, struct tail *tail, const char *run, int64_t from);
/* Builds the next splice: what changed below what the client has, and what is new. False: there is
 * nothing to tell. */
bool live_splice(struct store *store, struct tail *tail, struct text *out);

/* live_sse.c: called by the live thread for each change, and once a second. */
void sse_change(struct server *server, const struct change *change);
void sse_tick(struct server *server);

/* The first message of a channel. */
void live_hello(struct server *server, const char *csrf, struct text *out);

#endif
