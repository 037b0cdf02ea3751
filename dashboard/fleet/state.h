/* What a host and a run are, derived from stored facts and the clock: the one place that decides
   it. A pure function, so that every page, and the server after a restart, says the same. */
#ifndef NIXFLEET_DASHBOARD_FLEET_STATE_H
#define NIXFLEET_DASHBOARD_FLEET_STATE_H

#include <stdint.h>

#include "dashboard/store/rows.h"

#define STATE_INTERVALS 3                /* heartbeats that may be missed */
#define STATE_OFFLINE_MS (5 * 60 * 1000) /* v1: a host that said nothing for so long */
/* A run without a sign of life for so long has crashed: nothing is stale for ever. */
#define STATE_LOST_MS ((int64_t)24 * 3600 * 1000)
#define STATE_INTERVAL_MIN 10000 /* ms; the shortest interval that is believed */
#define STATE_INTERVAL_MAX 60000

enum run_state { RUN_BUSY, RUN_STALE, RUN_FINISHED, RUN_CRASHED };
enum host_state { HOST_IDLE, HOST_BUSY, HOST_STALE, HOST_CRASHED, HOST_OFFLINE };

enum run_state state_of_run(const struct run_facts *run, int64_t now_ms);
/* Whether a host is rather told of by `run` than by `other`: a run that is busy before every other;
   else the one of which it was heard later, and of a run that is over or lost that is its start. So
   what is delivered late, of a run that is long over, hides nothing, and a run that fell silent
   counts for less than one that was started since. */
bool run_outranks(const struct run_facts *run, const struct run_facts *other, int64_t now_ms);
/* run: the one that outranks the host's others. last_seen_ms: 0 for never. *since: when it became
 * so. */
enum host_state state_of_host(int64_t last_seen_ms, const struct run_facts *run, int64_t now_ms,
                              int64_t *since);
/* When the clock alone will change the host's state next; INT64_MAX: never. */
int64_t state_changes_at(int64_t last_seen_ms, const struct run_facts *run, int64_t now_ms);
const char *run_state_name(enum run_state state);
const char *host_state_name(enum host_state state);

#endif
