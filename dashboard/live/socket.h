/* One page's WebSocket: what it asked for, what it has been told. Only the live thread uses
   these. */
#ifndef NIXFLEET_DASHBOARD_LIVE_SOCKET_H
#define NIXFLEET_DASHBOARD_LIVE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wslay/wslay.h>

#include "dashboard/live/messages.h"
#include "dashboard/server/http.h"
#include "dashboard/server/server.h"
#include "dashboard/live/follow.h"

#define TAILS_MAX 64 /* logs that one page follows */

struct client {
    struct client *next;
    int socket;
    struct MHD_UpgradeResponseHandle *handle;
    wslay_event_context_ptr ws;
    struct server *server;
    struct news *news;
    struct caller caller;
    char csrf[65];
    char *early; /* bytes that came with the request */
    size_t early_size, early_taken;
    bool hosts;      /* it wants to hear of them, */
    bool has_hosts;  /* has been sent all of them, */
    uint64_t seen;   /* and of their changes those up to here */
    uint64_t target; /* the version of the target commit that it knows */
    bool closing;
    struct shared *sending; /* the message to many that is on its way, and how much of it is sent */
    size_t sent;
    struct tail tails[TAILS_MAX];
    size_t tail_count;
    int64_t ping_ms;
    int64_t taken_ms; /* when the socket last took all, or a part, of what there was to send */
    size_t read;      /* bytes since it was last written to */
};

/* NULL when out of memory; then the socket is still the caller's. */
struct client *client_new(struct server *server, struct news *news, int socket,
                          const struct caller *caller, const char *csrf, const char *extra,
                          size_t extra_size);
/* Says hello. False: it cannot be served. */
bool client_open(struct client *client);
void client_free(struct client *client);
/* Reads what has come (readable), tells it what it has not been told, writes what the socket takes.
 * Sets closing at its end. */
void client_serve(struct client *client, bool readable);
/* False while the page has not taken what it was sent: its socket is not read then. */
bool client_wants_to_read(const struct client *client);
/* True when there is more to tell and the socket has taken all before it. */
bool client_wants_more(const struct client *client);

#endif
