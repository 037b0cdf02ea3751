/* The change feed: which hosts changed, in the order in which pages are sent these changes. Every
   change has a number. A page or listener stores one number, that of the newest change that it was
   sent; it still needs all changes with higher numbers. So a slow page costs no memory, a host that
   changed ten times in the meantime is sent once, and all pages that are up to date need the same
   next message.

   A *state* change (a phase, a start, an end, a host's data) gets its number at once. *Progress*
   (more lines, the next of 400 builds) gets numbers for each host at most every PROGRESS_MS, and
   for the fleet at most for PROGRESS_PER_S hosts a second, in turn. So with thousands of busy hosts
   the rows of the page still move, and neither server nor browser is overloaded.

   A page that says which hosts it has in sight needs the state changes of all hosts, and the
   progress of these few: change_feed_states_since and change_feed_look. Any thread may call. */
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
/* Notes that the host has changed. False: out of memory, the change is dropped. */
bool change_feed_note(struct change_feed *feed, const char *host, bool progress);
/* Gives numbers to the changes that may be sent now. now_ms: of the monotonic clock. */
void change_feed_release(struct change_feed *feed, int64_t now_ms);
/* True while a noted change has no number yet. */
bool change_feed_waits(struct change_feed *feed);
/* The number of the newest change; 0: there is none yet. */
uint64_t change_feed_newest(struct change_feed *feed);
/* Writes up to max hosts that changed after number *seen, oldest change first, and moves *seen
 * behind them. Returns how many. */
size_t change_feed_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                         size_t max);
/* The number of the newest state change. */
uint64_t change_feed_newest_state(struct change_feed *feed);
/* The same as change_feed_since, for state changes only. */
size_t change_feed_states_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                                size_t max);

/* A host that a page has in sight. Here, changes and progress are counted as they are noted. */
struct viewed {
    char host[HOST_ID_SIZE];
    uint64_t noted, sent; /* its newest change, and the newest that the page was sent; 0: none */
};
/* Sets `noted` of each host. */
void change_feed_look(struct change_feed *feed, struct viewed *hosts, size_t count);
/* The newest change of any host. */
uint64_t change_feed_noted(struct change_feed *feed);

#endif
