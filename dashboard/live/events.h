/* The event streams of /api/events: a list of listeners, each served by the HTTP thread of its
   connection and woken by the live thread. */
#ifndef NIXFLEET_DASHBOARD_LIVE_EVENTS_H
#define NIXFLEET_DASHBOARD_LIVE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/store.h"

struct events;

/* NULL when out of memory. */
struct events *events_new(void);
/* After the HTTP server is stopped: it ends the last streams. NULL is allowed. */
void events_free(struct events *events);
/* The live thread calls these. events_round: in each round, with the changes since the last round
 * (sorted, see follower.h) and the newest number of the change feed. events_end_sessions: ends the
 * streams of expired sessions; recheck: also asks the store about each session. */
void events_round(struct events *events, uint64_t newest, const struct change *changes,
                  size_t count);
void events_end_sessions(struct events *events, bool recheck);
/* Ends all streams; a stream that begins now ends at once. */
void events_stop(struct events *events);

#endif
