/* One server for one data directory: two would give the same numbers to different changes. */
#ifndef NIXFLEET_DASHBOARD_SERVER_LOCK_H
#define NIXFLEET_DASHBOARD_SERVER_LOCK_H

#include <stddef.h>
#include <sys/types.h>

/* Takes DIR/nixfleet.lock, making DIR if it is not there, and writes the process's number into it.
   Returns a descriptor, which holds the lock until it is closed or the process ends; or -1 with
   errno, EWOULDBLOCK when another process holds it: *holder is then its number, 0 if unknown. */
int lock_directory(const char *dir, pid_t *holder);

#endif
