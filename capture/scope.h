/* A systemd scope for the run, so that it outlives the service that started it
   (KillMode=control-group kills whatever is in the service's control group, in whatever
   session). */
#ifndef NIXFLEET_SCOPE_H
#define NIXFLEET_SCOPE_H

#include <stddef.h>

/* Moves this process into a new scope named nixfleet-run-ID.scope: of the system's manager for
   root, else of the user's own. Runs busctl(1) and waits for it, for 5 s at most. Returns 0, or -1
   with a line in error: the process is then where it was. */
int scope_enter(const char *run_id, char *error, size_t size);

#endif
