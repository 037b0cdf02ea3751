#include "common/worker.h"

#include <errno.h>

void worker_init(struct worker *worker)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_init(&attributes);
#ifndef __APPLE__ /* macOS has a relative wait instead */
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&worker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    worker->stopping = worker->started = false;
}

int worker_start(struct worker *worker, void *(*run)(void *context), void *context)
{
    int error = pthread_create(&worker->thread, NULL, run, context);

    if (error) {
        errno = error;
        return -1;
    }
    worker->started = true;
    return 0;
}

void worker_ask_stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
}

void worker_stop(struct worker *worker)
{
    if (!worker->started)
        return;
    worker_ask_stop(worker);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_destroy(struct worker *worker)
{
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
}

void worker_lock(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
}

void worker_unlock(struct worker *worker)
{
    pthread_mutex_unlock(&worker->lock);
}

bool worker_stopping(struct worker *worker)
{
    bool stopping;

    pthread_mutex_lock(&worker->lock);
    stopping = worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    return stopping;
}

void worker_wake(struct worker *worker)
{
    pthread_cond_signal(&worker->wake);
}

struct timespec worker_in(int ms)
{
    struct timespec moment;

    clock_gettime(CLOCK_MONOTONIC, &moment);
    moment.tv_sec += ms / 1000;
    moment.tv_nsec += ms % 1000 * 1000000L;
    if (moment.tv_nsec >= 1000000000) {
        moment.tv_nsec -= 1000000000;
        moment.tv_sec++;
    }
    return moment;
}

bool worker_wait_until(struct worker *worker, const struct timespec *moment)
{
#ifdef __APPLE__
    struct timespec left, now = worker_in(0);

    left.tv_sec = moment->tv_sec - now.tv_sec;
    left.tv_nsec = moment->tv_nsec - now.tv_nsec;
    if (left.tv_nsec < 0) {
        left.tv_nsec += 1000000000;
        left.tv_sec--;
    }
    if (left.tv_sec < 0)
        left = (struct timespec){0};
    return pthread_cond_timedwait_relative_np(&worker->wake, &worker->lock, &left) != ETIMEDOUT;
#else
    return pthread_cond_timedwait(&worker->wake, &worker->lock, moment) != ETIMEDOUT;
#endif
}

bool worker_wait(struct worker *worker, int ms)
{
    struct timespec moment;

    if (ms == WORKER_FOREVER) {
        pthread_cond_wait(&worker->wake, &worker->lock);
        return true;
    }
    moment = worker_in(ms);
    return worker_wait_until(worker, &moment);
}
