/* A worker thread: a thread with its lock, a wake-up, and a request to stop. Waits are limited by
   the monotonic clock: a wall clock that jumps neither ends a wait early nor makes it last for
   hours.

   The lock protects what the owner of the worker says in its struct, and the worker's own fields.
   The thread's function runs until it sees that it shall stop:

       worker_lock(worker);
       while (!worker->stopping) {
           … take something …
           worker_unlock(worker); … work … worker_lock(worker);
           worker_wait(worker, 5000);
       }
       worker_unlock(worker); */
#ifndef NIXFLEET_COMMON_WORKER_H
#define NIXFLEET_COMMON_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define WORKER_FOREVER (-1)

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping; /* under lock */
    bool started;  /* the owner's thread only */
};

/* Makes the lock. Must be called before all others; worker_destroy frees the lock. */
void worker_init(struct worker *worker);
/* Starts the thread, which calls run(context). Returns 0, or -1 with errno; then only
 * worker_destroy may be called. */
int worker_start(struct worker *worker, void *(*run)(void *context), void *context);
/* Asks the thread to stop, and wakes the thread. Takes the lock. */
void worker_ask_stop(struct worker *worker);
/* Asks the thread to stop, and waits for its end. Does nothing if the thread was not started, or
 * was stopped before. */
void worker_stop(struct worker *worker);
/* Frees the lock. After worker_stop. */
void worker_destroy(struct worker *worker);

/* Take and release the lock. */
void worker_lock(struct worker *worker);
void worker_unlock(struct worker *worker);
/* Whether the thread was asked to stop. Takes the lock. */
bool worker_stopping(struct worker *worker);
/* Wakes the thread. The caller holds the lock. */
void worker_wake(struct worker *worker);
/* Releases the lock, waits until the thread is woken or ms milliseconds have passed
 * (WORKER_FOREVER: no limit), and takes the lock again. May return early. Returns false if the time
 * has passed. The caller holds the lock. */
bool worker_wait(struct worker *worker, int ms);
/* Does the same, until a moment from worker_in: for a loop that waits for a condition. */
bool worker_wait_until(struct worker *worker, const struct timespec *moment);
/* The moment ms milliseconds from now, on the monotonic clock. */
struct timespec worker_in(int ms);

#endif
