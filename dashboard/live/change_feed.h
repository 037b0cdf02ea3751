/* The change feed: which hosts changed, in the order in which pages are sent it. Every change has a
   number. A page or listener remembers one number, the newest change that it was sent; all changes
   with higher numbers are still to be sent. So a slow page costs no memory, a host that changed ten
   times meanwhile is sent once, and all pages that are up to date need the same next message.

   A *state* change (a phase, a start, an end, a host's data) is numbered at once. *Progress* (more
   lines, the next of 400 builds) is numbered for each host at most every PROGRESS_MS, and for the
   fleet at most PROGRESS_PER_S hosts a second, in turn. So with thousands of busy hosts the rows of
   the page still move, and neither server nor browser is overloaded. Any thread may call. */
#ifndef NIXFLEET_DASHBOARD_LIVE_CHANGE_FEED_H
#define NIXFLEET_DASHBOARD_LIVE_CHANGE_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

struct change_feed;

/* NULL when out of memory. */
struct change_feed *change_feed_new(void);
void change_feed_free(struct change_feed *feed);
/* Notes that the host has changed. Out of memory the change is dropped; the next one shows all. */
void change_feed_note(struct change_feed *feed, const char *host, bool progress);
/* Numbers what may be sent now; now_ms of the monotonic clock. */
void change_feed_release(struct change_feed *feed, int64_t now_ms);
/* True while a noted change has no number yet. */
bool change_feed_waits(struct change_feed *feed);
/* The number of the newest change; 0: there is none yet. */
uint64_t change_feed_newest(struct change_feed *feed);
/* Gives up to max hosts that changed after number *seen, oldest first, and moves *seen behind them.
 * Returns how many. */
size_t change_feed_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                         size_t max);

#endif
