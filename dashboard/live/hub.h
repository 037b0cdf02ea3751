/* The live channel: one thread that tells every open page, by WebSocket, what has changed. It holds
   no queue of messages: of each page it knows how far the page has been told (a number in the
   hostlog, a line of each log that it follows), and builds the next message when the page can take
   one. A page that does not read costs nothing but its socket, and what all need is built once for
   all. */
#ifndef NIXFLEET_DASHBOARD_LIVE_HUB_H
#define NIXFLEET_DASHBOARD_LIVE_HUB_H

#include <stddef.h>

#include "dashboard/live/changes.h"
#include "dashboard/server/http.h"
#include "common/json.h"
#include "dashboard/store/store.h"

struct live;

/* Starts the thread. NULL when out of resources. */
struct live *live_start(struct server *server);
/* Ends all streams of events and the thread, and gives all sockets back: before the HTTP server is
 * stopped, which gives none away any more. live_free: after it. */
void live_stop(struct live *live);
void live_free(struct live *live);
size_t live_count(struct live *live);
/* Whether the thread has gone round within the last ten seconds. */
bool live_runs(struct live *live);
/* Takes over an upgraded connection. caller: who made it; csrf: of its session. extra: bytes that
 * came behind the request. handle: gives the socket back to libmicrohttpd. */
void live_add(struct live *live, int socket, const struct caller *caller, const char *csrf,
              struct MHD_UpgradeResponseHandle *handle, const char *extra, size_t extra_size);
/* Sessions or settings have changed: ends, at once, the WebSockets and event streams of all who
 * have no right to them any more. Those of a session that has come to its end go by themselves. */
void live_recheck(struct live *live);
/* What changed of the hosts; lives as long as the server. */
struct hostlog *live_hosts(struct live *live);

/* The handlers of /api/ws and /api/events. */
void get_websocket(struct request *request);
void get_events(struct request *request);

/* events.c: called by the live thread in each round with what has changed since the last one
 * (sorted, see follow.h). */
void sse_round(struct live *live, const struct change *changes, size_t count);
/* Called by the live thread: ends the streams of all whose session is over; recheck: looks for each
 * in the store, too. */
void sse_end_sessions(bool recheck);
/* Ends all streams of events; a stream that begins now ends at once. */
void sse_stop(void);

#endif
