/* Removes old data: runs by age, by number for each host and by total size; a host's history by
   age. Open runs are kept. The thread looks for old data as a reader, and removes it in small jobs,
   so that no batch waits long behind one of them. */
#ifndef NIXFLEET_DASHBOARD_FLEET_RETENTION_H
#define NIXFLEET_DASHBOARD_FLEET_RETENTION_H

#include "dashboard/store/store.h"

struct retention;

/* Starts a thread that looks now and every five minutes. NULL if it cannot be started; then nothing
 * is removed. */
struct retention *retention_start(struct store *store, const struct retention_limits *limits);
/* Sets the limits for the next look. */
void retention_set_limits(struct retention *retention, const struct retention_limits *limits);
/* Ends the thread and frees retention. */
void retention_stop(struct retention *retention);

#endif
