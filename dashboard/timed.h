/* Condition variables whose time limits are of the monotonic clock: a wall clock that jumps neither
   ends a wait early nor makes it last for hours. */
#ifndef NIXFLEET_DASHBOARD_TIMED_H
#define NIXFLEET_DASHBOARD_TIMED_H

#include <pthread.h>
#include <time.h>

/* pthread_cond_init, for pthread_cond_timedwait with a time of timed_in. */
void timed_init(pthread_cond_t *condition);
/* The moment so many seconds from now. */
struct timespec timed_in(int seconds);

#endif
