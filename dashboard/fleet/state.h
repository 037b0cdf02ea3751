/* What a host and a run are, derived from stored facts and the clock: the one place that decides
   it. A pure function, so that every page, and the server after a restart, says the same. */
#ifndef NIXFLEET_DASHBOARD_FLEET_STATE_H
#define NIXFLEET_DASHBOARD_FLEET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/rows.h"

#define STATE_INTERVALS 3                /* heartbeats that may be missed */
#define STATE_OFFLINE_MS (5 * 60 * 1000) /* v1: a host that said nothing for so long */
/* A run without a sign of life for so long has crashed: nothing is stale for ever. */
#define STATE_LOST_MS ((int64_t)24 * 3600 * 1000)
#define STATE_INTERVAL_MIN 10000 /* ms; the shortest interval that is believed */
#define STATE_INTERVAL_MAX 60000

/* A run falls silent while its host is heard: after so many intervals the run has crashed. Its
   heartbeat may come a little later than the host's first word after an outage of the network. */
#define STATE_DOUBT_INTERVALS 2

enum run_state { RUN_BUSY, RUN_STALE, RUN_FINISHED, RUN_CRASHED };
enum host_state { HOST_IDLE, HOST_BUSY, HOST_STALE, HOST_CRASHED, HOST_OFFLINE };

/* RUN_FINISHED also for a run without heartbeats that has fallen silent: somebody posted lines, and
   does not say when there are no more. */
enum run_state state_of_run(const struct run_facts *run, int64_t now_ms);
/* Whether a host is rather told of by `run` than by `other`: a run that is busy before every other;
   else the one of which it was heard later, and of a run that is over or lost that is its start. So
   what is delivered late, of a run that is long over, hides nothing, and a run that fell silent
   counts for less than one that was started since. */
bool run_outranks(const struct run_facts *run, const struct run_facts *other, int64_t now_ms);
/* run: the run that outranks the host's others. *since: when the state began. A host without an
   agent is never offline once it was heard: nothing calls regularly there. */
enum host_state state_of_host(const struct host_facts *host, const struct run_facts *run,
                              int64_t now_ms, int64_t *since);
/* When the clock alone will change the host's state next; INT64_MAX: never. */
int64_t state_changes_at(const struct host_facts *host, const struct run_facts *run,
                         int64_t now_ms);
/* Whether a host with an agent can be reached: something was heard from it within five minutes. */
bool host_reachable(const struct host_facts *host, int64_t now_ms);
const char *run_state_name(enum run_state state);
const char *host_state_name(enum host_state state);

#endif
