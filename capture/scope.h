/* A systemd scope for the run, so that the run outlives the service that started it.
   (KillMode=control-group kills all processes in the control group of a service, whatever their
   session is.) */
#ifndef NIXFLEET_SCOPE_H
#define NIXFLEET_SCOPE_H

#include <stddef.h>

/* Moves this process into a new scope with the name nixfleet-run-ID.scope and the description
   "nixfleet-run: LABEL". For root the system's manager makes the scope, for others the user's
   manager, which is found by XDG_RUNTIME_DIR or /run/user/UID. The user's manager must outlive the
   user's sessions (lingering), unless this process is already below it. Runs busctl(1) and waits
   for it, at most 5 s. Returns 0; or -1 with a line in error (SCOPE_ERROR_SIZE is enough), then the
   process has not moved. */
#define SCOPE_ERROR_SIZE 240
int scope_enter(const char *run_id, const char *label, char *error, size_t size);

#endif
