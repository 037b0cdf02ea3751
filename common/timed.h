/* Condition variables whose time limits are of the monotonic clock: a wall clock that jumps neither
   ends a wait early nor makes it last for hours. */
#ifndef NIXFLEET_COMMON_TIMED_H
#define NIXFLEET_COMMON_TIMED_H

#include <pthread.h>
#include <time.h>

/* pthread_cond_init, for timed_wait. */
void timed_init(pthread_cond_t *condition);
/* The moment so many milliseconds from now. */
struct timespec timed_in(int ms);
/* pthread_cond_timedwait until a moment of timed_in: 0 when woken (or for no reason), ETIMEDOUT
   when it has come. */
int timed_wait(pthread_cond_t *condition, pthread_mutex_t *lock, const struct timespec *until);

#endif
