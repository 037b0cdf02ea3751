/* Throwing old things away: runs by age, by count a host, and by size in all; a host's history by
   age. A run that is open is kept. What goes is looked for on a reading connection and removed in
   small steps, so that no batch waits long behind one. */
#ifndef NIXFLEET_DASHBOARD_FLEET_RETENTION_H
#define NIXFLEET_DASHBOARD_FLEET_RETENTION_H

#include "dashboard/store/store.h"

struct retention;

/* Starts a thread that looks now and every five minutes. NULL: it could not be started; nothing is
 * removed then. */
struct retention *retention_start(struct store *store, const struct retention_limits *limits);
/* The limits from the next look on. */
void retention_set_limits(struct retention *retention, const struct retention_limits *limits);
void retention_stop(struct retention *retention);

#endif
