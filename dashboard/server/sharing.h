/* Tells the other servers of the store how many calls this server has counted, and learns what they
   have counted: twice a second, in one statement for all clients. So a client that spreads its
   calls over several servers has at most half a second of calls more. */
#ifndef NIXFLEET_DASHBOARD_SERVER_SHARING_H
#define NIXFLEET_DASHBOARD_SERVER_SHARING_H

#include "dashboard/server/ratelimit.h"
#include "dashboard/store/store.h"

struct sharing;

/* Starts the thread; the store must be shared (store_is_shared). Both must be valid until
 * sharing_stop. NULL when out of resources. */
struct sharing *sharing_start(struct store *store, struct ratelimit *limit);
/* Ends the thread, while the store still writes. NULL is allowed. */
void sharing_stop(struct sharing *sharing);

#endif
