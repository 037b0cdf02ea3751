/* The commit that the fleet should be at: read from NIXFLEET_NIXCFG_VERSION_URL, so that the page
   can mark hosts that are behind it (v1). One thread asks; nobody waits for it but who pressed
   refresh. */
#ifndef NIXFLEET_DASHBOARD_FLEET_TARGET_H
#define NIXFLEET_DASHBOARD_FLEET_TARGET_H

#include <stdint.h>

#include "dashboard/server/http.h"
#include "common/json.h"

struct target;

/* Starts to ask url, now and every TARGET_PERIOD_S. NULL: out of resources, or url is NULL. */
struct target *target_start(const char *url);
/* Ends the thread, and answers who waits for it; takes at most as long as a question may. To be
 * called before the HTTP server is stopped; target_free after it. */
void target_stop(struct target *target);
void target_free(struct target *target);
/* Appends {"hash","full_hash","message"}, or null while nothing is known. target may be NULL. */
void target_json(struct target *target, struct text *out);
/* Grows with every change of the commit; 0: nothing is known. target may be NULL. */
uint64_t target_version(struct target *target);
/* Asks again (at most every TARGET_FRESH_S, as v1), and answers the request with what is known
 * then. Suspends the request. */
void target_refresh(struct target *target, struct request *request);

#endif
