/* One server for one data directory: two servers would give the same numbers to different
 * changes. */
#ifndef NIXFLEET_DASHBOARD_SERVER_LOCK_H
#define NIXFLEET_DASHBOARD_SERVER_LOCK_H

#include <stddef.h>
#include <sys/types.h>

/* Locks DIR/nixfleet.lock, creates DIR if necessary, and writes the number of this process into the
   file. Returns a descriptor, which holds the lock until it is closed; or -1 with errno.
   EWOULDBLOCK: another process holds the lock, *holder is its number, 0 if unknown. */
int lock_directory(const char *dir, pid_t *holder);

#endif
