/* Following the lines of one run: what the receiver has, and the next splice that it needs. Shared
   by the WebSocket and the server-sent events. */
#ifndef NIXFLEET_DASHBOARD_LIVE_FOLLOW_H
#define NIXFLEET_DASHBOARD_LIVE_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

struct tail {
    char run[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t key, next, version; /* lines below next, as of version, are with the receiver */
    bool due;                   /* there may be lines to tell */
    bool changed;               /* and the run itself may have changed */
};

/* Starts at line from (negative: that many from the end). False: there is no such run. */
bool tail_start(struct store *store, struct tail *tail, const char *run, int64_t from);
/* Makes the tail due if its run is among the changes, which are sorted by changes_sort. */
void tail_touch(struct tail *tail, const struct change *changes, size_t count);
void changes_sort(struct change *changes, size_t count);
/* Builds the next splice: what changed below what the receiver has, and what is new. False: there
 * is nothing to tell. The tail stays due when one message does not take it all. */
bool tail_splice(struct store *store, struct tail *tail, struct text *out);
/* Builds the `run` message. False: the run is gone. */
bool tail_run(struct store *store, const struct tail *tail, struct text *out);

#endif
