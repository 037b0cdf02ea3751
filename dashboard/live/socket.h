/* The WebSocket of one page: what the page asked for, and what it was sent. Only the live thread
   uses these. */
#ifndef NIXFLEET_DASHBOARD_LIVE_SOCKET_H
#define NIXFLEET_DASHBOARD_LIVE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wslay/wslay.h>

#include "dashboard/live/messages.h"
#include "dashboard/server/http.h"
#include "dashboard/server/server.h"
#include "dashboard/live/follower.h"

#define FOLLOWERS_MAX 64 /* logs that one page follows */

struct page {
    struct page *next;
    int socket;
    struct MHD_UpgradeResponseHandle *handle;
    wslay_event_context_ptr ws;
    wslay_frame_context_ptr frames; /* sends shared messages; `ws` sends and receives the others */
    struct server *server;
    struct host_messages *messages;
    struct caller caller;
    char csrf[65];
    char *early; /* bytes that came with the request */
    size_t early_size, early_taken;
    struct view view;
    bool hosts;     /* the page asked for hosts */
    bool has_hosts; /* the page was sent all hosts */
    uint64_t seen;  /* the newest change of hosts that the page was sent */
    /* The newest state change that the page was sent since it said what it has in sight, or else
     * the newest of the message with all hosts: `seen` may be behind a state change that waits
     * together with progress. */
    uint64_t seen_states;
    uint64_t target; /* the version of the target commit that the page was sent */
    bool closing;
    struct message *sending; /* the shared message that waits or is being sent */
    bool begun;              /* nothing else may be sent before its end */
    size_t sent;             /* bytes of its text */
    struct follower followers[FOLLOWERS_MAX];
    size_t follower_count;
    int64_t ping_ms;
    int64_t taken_ms; /* when the socket last accepted something, or there was nothing to send */
    size_t read;      /* bytes since the last write to the page */
};

/* NULL when out of memory; then the socket still belongs to the caller. */
struct page *page_new(struct server *server, struct host_messages *messages, int socket,
                      const struct caller *caller, const char *csrf, const char *extra,
                      size_t extra_size);
/* Sends hello. False if the page cannot be served. */
bool page_open(struct page *page);
void page_free(struct page *page);
/* Reads what has come (if readable), builds messages that are due, and writes what the socket
 * accepts. Sets closing if the page is gone. */
void page_serve(struct page *page, bool readable);
/* False while the page has not accepted what it was sent; its socket must not be polled for reading
 * then. */
bool page_wants_to_read(const struct page *page);
/* In how many ms a message is due; -1: none before the next change, or before the socket has
 * accepted all earlier ones. */
int page_pause_ms(const struct page *page);

#endif
