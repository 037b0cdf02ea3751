/* How a host stands: the verdict of its last runs. The verdict has nothing to do with whether the
   host can be reached. A pure function. */
#ifndef NIXFLEET_DASHBOARD_FLEET_VERDICT_H
#define NIXFLEET_DASHBOARD_FLEET_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "dashboard/store/rows.h"

/* False only for success. */
bool verdict_is_problem(const char *outcome);
/* Whether a run of this name changes the system: switch, boot, test and their kin. */
bool verdict_is_switch(const char *name);
/* The verdict, of the last run of each name, that counts for the host; -1: there is none.
   - The last switch that failed, until a switch succeeds, whatever else has run since;
   - else the newest failure of a known name (pull, update, build…), until a run of this name
   succeeds;
   - else the newest run. So a failure of an ad hoc command counts until the next run. */
int verdict_of_host(const struct verdict_row *rows, size_t count);

#endif
