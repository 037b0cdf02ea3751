/* The event streams of /api/events: a list of listeners. The HTTP thread of its connection serves a
   listener; the live thread wakes it. */
#ifndef NIXFLEET_DASHBOARD_LIVE_EVENTS_H
#define NIXFLEET_DASHBOARD_LIVE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/store.h"

struct events;

/* NULL when out of memory. */
struct events *events_new(void);
/* To be called after the HTTP server has stopped, which ends the last streams. NULL is allowed. */
void events_free(struct events *events);
/* Only the live thread calls these. events_round: in each round, with the changes since the last
 * round (sorted, see follower.h) and the newest number of the change feed. events_end_sessions:
 * ends the streams of sessions that have expired by now_ms; recheck: also asks the store about each
 * session. */
void events_round(struct events *events, uint64_t newest, const struct change *changes,
                  size_t count);
void events_end_sessions(struct events *events, int64_t now_ms, bool recheck);
/* Ends all streams. Their clients connect again, and read everything anew. */
void events_end(struct events *events);
/* Ends all streams; a stream that begins later ends at once. */
void events_stop(struct events *events);

#endif
