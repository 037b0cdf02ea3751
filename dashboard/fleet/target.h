/* The target commit: the commit that the fleet should have, read from NIXFLEET_NIXCFG_VERSION_URL.
   The page marks hosts that are behind it (v1). One thread downloads; only a request to refresh
   waits for the download. */
#ifndef NIXFLEET_DASHBOARD_FLEET_TARGET_H
#define NIXFLEET_DASHBOARD_FLEET_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"

struct target;

/* Starts to read url, now and every TARGET_PERIOD_S. NULL if url is NULL, or out of resources. */
struct target *target_start(const char *url);
/* Ends the thread and calls back those who wait; takes at most as long as one download. To be
 * called before the HTTP server is stopped, and target_free after it. */
void target_stop(struct target *target);
void target_free(struct target *target);
/* Appends {"hash","full_hash","message"}, or null if nothing is known yet. target may be NULL. */
void target_json(struct target *target, struct text *out);
/* Appends the same in v1's form: an object of nulls if nothing is known yet. */
void target_v1_json(struct target *target, struct text *out);
/* Increases with every change of the commit; 0: nothing is known yet. target may be NULL. */
uint64_t target_version(struct target *target);
/* Reads the url again (at most every TARGET_FRESH_S, as v1), then calls done(context) on the
 * target's thread, without a lock. Returns false, and does not call done, if too many wait or the
 * target is being stopped. */
bool target_refresh(struct target *target, void (*done)(void *context), void *context);

#endif
