/* The live channel: one thread that sends changes to every open page by WebSocket. The thread keeps
   no queue of messages. For each page it stores what the page was sent (a number of the change
   feed, a line of each log that the page follows), and builds the next message when the page's
   socket accepts one. A page that does not read costs only its socket, and a message that all pages
   need is built once. */
#ifndef NIXFLEET_DASHBOARD_LIVE_HUB_H
#define NIXFLEET_DASHBOARD_LIVE_HUB_H

#include <stddef.h>

#include "dashboard/live/change_feed.h"
#include "dashboard/server/http.h"
#include "common/json.h"
#include "dashboard/store/store.h"

struct events;
struct live;

/* Starts the thread. NULL when out of resources. */
struct live *live_start(struct server *server);
/* Ends all event streams and the thread, and returns all sockets to libmicrohttpd. To be called
 * when the HTTP server accepts no more WebSockets and before it is stopped; live_free after it. */
void live_stop(struct live *live);
void live_free(struct live *live);
size_t live_count(struct live *live);
/* Whether the thread has begun a round within the last ten seconds. */
bool live_runs(struct live *live);
/* Takes over an upgraded connection. caller: who made it; csrf: of the caller's session. extra:
 * bytes that came behind the request. handle: for returning the socket to libmicrohttpd. */
void live_add(struct live *live, int socket, const struct caller *caller, const char *csrf,
              struct MHD_UpgradeResponseHandle *handle, const char *extra, size_t extra_size);
/* To be called when sessions or settings have changed: ends at once the WebSockets and event
 * streams of all callers that are not allowed any more. When a session expires, its channels end
 * without this call. */
void live_recheck(struct live *live);
/* The change feed; valid until live_free. */
struct change_feed *live_change_feed(struct live *live);

/* The event streams; valid until live_free. */
struct events *live_events(struct live *live);

/* The handlers of /api/ws and /api/events. */
void get_websocket(struct request *request);
void get_events(struct request *request);

#endif
