/* Throwing old runs away: by age, by count a host, and by size in all. A run that is open is kept.
 */
#ifndef NIXFLEET_DASHBOARD_RETENTION_H
#define NIXFLEET_DASHBOARD_RETENTION_H

#include "store.h"

struct retention;

/* Starts a thread that looks every few minutes. Bounds: NIXFLEET_KEEP_DAYS (180),
   NIXFLEET_KEEP_RUNS (500, of each host), NIXFLEET_KEEP_MB (20480, of log text in all). NULL: it
   could not be started; nothing is then thrown away. */
struct retention *retention_start(struct store *store);
void retention_stop(struct retention *retention);

#endif
