/* Messages about hosts, which are the same for many pages: built once, shared until the last page
   has sent its copy. Only the live thread uses these. */
#ifndef NIXFLEET_DASHBOARD_LIVE_MESSAGES_H
#define NIXFLEET_DASHBOARD_LIVE_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "dashboard/live/changes.h"
#include "common/json.h"
#include "dashboard/store/store.h"

/* A message with several senders. */
struct shared {
    size_t users;
    struct text text;
};
void shared_drop(struct shared *shared);

struct news {
    struct store *store;
    struct hostlog *hosts;
    struct shared *all, *changes; /* the newest of each kind */
    uint64_t all_seen, changes_from, changes_to;
    int64_t all_ms;
};

void news_free(struct news *news);
/* All hosts, and in *seen the change up to which they are told with it. NULL: the store or memory
 * failed. The caller drops it. */
struct shared *news_all(struct news *news, uint64_t *seen);
/* What changed after *seen, or a first part of it; *seen moves. NULL: nothing has, or no memory.
 * The caller drops it. */
struct shared *news_since(struct news *news, uint64_t *seen);

#endif
