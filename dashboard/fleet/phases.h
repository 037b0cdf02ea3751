/* The phases of a run as an index, and the time that a run spent in each. Pure functions. */
#ifndef NIXFLEET_DASHBOARD_FLEET_PHASES_H
#define NIXFLEET_DASHBOARD_FLEET_PHASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PHASE_COUNT 9
#define PHASE_RUNNING 0 /* no phase is known yet */

/* Milliseconds that a run spent in each phase. */
struct phase_times {
    int64_t ms[PHASE_COUNT];
    bool late; /* the reports came long after what they tell: the times are not known */
};

/* The index of a phase (docs/protocol.md). NULL and "": PHASE_RUNNING. -1: the run is over ("done",
 * "failed"), or there is no such phase. */
int phase_index(const char *name);
const char *phase_label(int phase);
/* The place of a phase in a run that goes forward. Building and fetching share a place, because nix
 * does both at once. */
int phase_place(int phase);

/* Reads what phases_write wrote: "evaluating 3000 building 81000". What is unknown is skipped. */
void phases_read(const char *text, struct phase_times *times);
/* Cuts the text at size. */
void phases_write(const struct phase_times *times, char *out, size_t size);

#endif
