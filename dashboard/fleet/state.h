/* The states of hosts and runs, which are derived from stored facts and the clock only here. Pure
   functions, so that every page and a restarted server show the same state. */
#ifndef NIXFLEET_DASHBOARD_FLEET_STATE_H
#define NIXFLEET_DASHBOARD_FLEET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/rows.h"

#define STATE_INTERVALS 3 /* number of intervals without a heartbeat after which a run is stale */
#define STATE_OFFLINE_MS (5 * 60 * 1000) /* as v1: a host without any report for this long */
/* A run without a heartbeat for this long has crashed: no run is stale for ever. */
#define STATE_LOST_MS ((int64_t)24 * 3600 * 1000)
#define STATE_INTERVAL_MIN 10000 /* ms; a shorter interval counts as this one */
#define STATE_INTERVAL_MAX 60000

/* A run that is silent for this many intervals while its host reports has crashed. After an outage
   of the network, the heartbeat may come a little later than the host's first report. */
#define STATE_SUSPECT_INTERVALS 2

enum run_state { RUN_BUSY, RUN_STALE, RUN_FINISHED, RUN_CRASHED };
enum host_state { HOST_IDLE, HOST_BUSY, HOST_STALE, HOST_CRASHED, HOST_OFFLINE };

/* A run that never sent heartbeats and is silent is RUN_FINISHED: a script posted lines, and does
   not say when it ends. */
enum run_state state_of_run(const struct run_facts *run, int64_t now_ms);
/* Whether `run` is shown for its host instead of `other`. A busy run comes first; of others, the
   run with the later moment: its last heartbeat if it is stale, its start if it has ended or
   crashed. So a run that is delivered long after its end hides nothing, and a run that started
   later comes before a silent one. */
bool run_outranks(const struct run_facts *run, const struct run_facts *other, int64_t now_ms);
/* run: the run that outranks the host's others. *since: when the state began. A host without an
   agent is never offline after its first report, because nothing calls regularly there. */
enum host_state state_of_host(const struct host_facts *host, const struct run_facts *run,
                              int64_t now_ms, int64_t *since);
/* When the clock alone will change the host's state next; INT64_MAX: never. */
int64_t state_changes_at(const struct host_facts *host, const struct run_facts *run,
                         int64_t now_ms);
/* Whether the agent of a host can be reached: a report of the host arrived within five minutes. */
bool host_reachable(const struct host_facts *host, int64_t now_ms);
/* The names of the states in docs/protocol.md; constant text. */
const char *run_state_name(enum run_state state);
const char *host_state_name(enum host_state state);

#endif
