/* The target commit: the commit that the fleet should be at, read from NIXFLEET_NIXCFG_VERSION_URL.
   The page marks hosts that are behind it (v1). One thread downloads; only a request to refresh
   waits for it. */
#ifndef NIXFLEET_DASHBOARD_FLEET_TARGET_H
#define NIXFLEET_DASHBOARD_FLEET_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"

struct target;

/* Starts to read url, now and every TARGET_PERIOD_S. NULL: out of resources, or url is NULL. */
struct target *target_start(const char *url);
/* Ends the thread and calls back those who wait for it; takes at most as long as one download may.
 * To be called before the HTTP server is stopped; target_free after it. */
void target_stop(struct target *target);
void target_free(struct target *target);
/* Appends {"hash","full_hash","message"}, or null while nothing is known. target may be NULL. */
void target_json(struct target *target, struct text *out);
/* The same as v1 answers it: an object of nulls while nothing is known. */
void target_v1_json(struct target *target, struct text *out);
/* Increases with every change of the commit; 0: nothing is known. target may be NULL. */
uint64_t target_version(struct target *target);
/* Reads the url again (at most every TARGET_FRESH_S, as v1), then calls done(context) on the
 * target's thread, without a lock held. False: too many wait, or the target is being stopped; done
 * is not called. */
bool target_refresh(struct target *target, void (*done)(void *context), void *context);

#endif
