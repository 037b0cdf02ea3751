/* A follower of one log: what the receiver has of the lines, and the next splice that it needs. The
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
    int64_t key, next, version; /* lines below next, as of version, are with the receiver */
    bool due;                   /* there may be lines to send */
    bool changed;               /* the run itself may have changed */
};

/* Starts at line from (negative: that many from the end). False: there is no such run. */
bool follower_start(struct store *store, struct follower *follower, const char *run, int64_t from);
/* Makes the follower due if its run is among the changes, which changes_sort has sorted. */
void follower_touch(struct follower *follower, const struct change *changes, size_t count);
void changes_sort(struct change *changes, size_t count);
/* Builds the next splice: lines that changed below what the receiver has, and new lines. False:
 * there is nothing to send. The follower stays due when one message does not hold all. */
bool follower_splice(struct store *store, struct follower *follower, struct text *out);
/* Builds the `run` message. False: the run is gone. */
bool follower_run(struct store *store, const struct follower *follower, struct text *out);

#endif
