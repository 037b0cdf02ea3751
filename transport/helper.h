/* What shipper and heartbeat do first: a session of their own, a name for ps(1), no signal that a
 * terminal sends. */
#ifndef NIXFLEET_HELPER_H
#define NIXFLEET_HELPER_H

#include <sys/types.h>

/* Also ignores SIGTERM: a service that is stopped must still get its last lines out. The helper
   ends by itself soon after the run, whatever happens. */
void helper_start(const char *title);
/* From now on nobody waits for this process: SIGTERM ends it, as a service that stops expects. */
void helper_stay_behind(void);
/* In a child: ask the system to kill it when parent goes, where it can do that. */
void helper_die_with(pid_t parent);

#endif
