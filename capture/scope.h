/* A systemd scope for the run, so that it outlives the service that started it
   (KillMode=control-group kills whatever is in the service's control group, in whatever
   session). */
#ifndef NIXFLEET_SCOPE_H
#define NIXFLEET_SCOPE_H

#include <stddef.h>

/* Moves this process into a new scope named nixfleet-run-ID.scope, described as "nixfleet-run:
   LABEL": of the system's manager for root, else of the user's own, which is looked for in
   XDG_RUNTIME_DIR or /run/user/UID. A user's manager must live longer than the user's sessions
   (lingering), unless this process already lives below that manager. Runs busctl(1) and waits for
   it, for 5 s at most. Returns 0, or -1 with a line in error (SCOPE_ERROR_SIZE is enough): the
   process is then where it was. */
#define SCOPE_ERROR_SIZE 240
int scope_enter(const char *run_id, const char *label, char *error, size_t size);

#endif
