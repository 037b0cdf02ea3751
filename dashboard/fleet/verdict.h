/* The verdict of a host: how its last runs ended. Whether the host can be reached has no influence.
   A pure function. */
#ifndef NIXFLEET_DASHBOARD_FLEET_VERDICT_H
#define NIXFLEET_DASHBOARD_FLEET_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "dashboard/store/rows.h"

/* False only for success. */
bool verdict_is_problem(const char *outcome);
/* Whether a run with this name changes the system: switch, boot, test and similar. */
bool verdict_is_switch(const char *name);
/* Of the last runs of each name, the index of the one that is the verdict of the host; -1: none.
   - the last switch, if it failed, until a switch succeeds, whatever ran since;
   - else the newest failure of a known name (pull, update, build…), until a run with this name
     succeeds;
   - else the newest run. So a failure of an ad hoc command counts until the next run. */
int verdict_of_host(const struct verdict_row *rows, size_t count);

#endif
