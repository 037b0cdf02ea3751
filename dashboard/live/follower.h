/* A follower of one log: which lines the receiver has, and the next splice that it needs. The
   WebSocket and the server-sent events both use it. */
#ifndef NIXFLEET_DASHBOARD_LIVE_FOLLOWER_H
#define NIXFLEET_DASHBOARD_LIVE_FOLLOWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

struct follower {
    char run[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t key, next, version; /* the receiver has the lines below next, as of version */
    bool due;                   /* there may be lines to send */
    bool changed;               /* the run itself may have changed */
};

/* Begins at line from (negative: that many lines before the end). 1; 0: there is no such run; -1:
 * the store failed. */
int follower_start(struct store *store, struct follower *follower, const char *run, int64_t from);
/* Makes the follower due if its run is among the changes, which changes_sort has sorted. */
void follower_touch(struct follower *follower, const struct change *changes, size_t count);
/* Sorts changes by run, for follower_touch. */
void changes_sort(struct change *changes, size_t count);
/* Appends the next splice: lines that changed below `next`, and new lines. 1; 0: there is nothing
 * to send; -1: memory or the store failed, and the receiver must connect again. The follower stays
 * due if one message is not enough. */
int follower_splice(struct store *store, struct follower *follower, struct text *out);
/* Appends the `run` message. 1; 0: the run does not exist any more; -1: memory or the store failed.
 */
int follower_run(struct store *store, const struct follower *follower, struct text *out);

#endif
