/* Limits the calls of a client to a path (struct route: per_minute). */
#ifndef NIXFLEET_DASHBOARD_API_LIMIT_H
#define NIXFLEET_DASHBOARD_API_LIMIT_H

#include "dashboard/server/http.h"

/* Counts the call. Whether it may be made, as far as this server knows; if not, answers 429. */
bool limit_allows(struct request *request);
/* Counts a sign-in on all servers of a shared store, and then calls `then` on the writer thread, or
 * answers 429. `then` must not block; it answers and returns false, or passes the request on and
 * returns true. */
void limit_on_all_servers(struct request *request, bool (*then)(struct request *request));

#endif
