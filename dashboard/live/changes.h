/* Which hosts changed, in the order in which that is told. Every page and listener remembers one
   number, how far it has been told; what it missed is whatever stands behind it here. So a slow
   page costs no memory, a host that changed ten times meanwhile is told once, and all who are up to
   date need the same next message.

   A *state* change (a phase, a start, an end, a host's data) is told at once. *Progress* (more
   lines, the next of 400 builds) is told of each host at most every PROGRESS_MS, and of the fleet
   at most PROGRESS_PER_S hosts a second, in turn: with thousands of busy hosts the page's rows
   still move, and neither server nor browser drowns in them. Any thread may call. */
#ifndef NIXFLEET_DASHBOARD_LIVE_CHANGES_H
#define NIXFLEET_DASHBOARD_LIVE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

struct hostlog;

/* NULL when out of memory. */
struct hostlog *hostlog_new(void);
void hostlog_free(struct hostlog *log);
/* The host has changed. Out of memory it is forgotten; its next change tells all. */
void hostlog_note(struct hostlog *log, const char *host, bool progress);
/* Lets what may be told now be seen; now_ms of the monotonic clock. */
void hostlog_release(struct hostlog *log, int64_t now_ms);
/* True while something noted is held back: to be released later. */
bool hostlog_waits(struct hostlog *log);
/* The number of the newest change that may be told; 0: none yet. */
uint64_t hostlog_newest(struct hostlog *log);
/* Up to max hosts that changed after *seen, oldest first; *seen moves behind them. Returns how
 * many. */
size_t hostlog_since(struct hostlog *log, uint64_t *seen, char (*out)[HOST_ID_SIZE], size_t max);

#endif
