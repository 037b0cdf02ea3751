#include "dashboard/server/slow.h"

#include <pthread.h>
#include <stdlib.h>

#define WAITING_MAX 32
#define RETRY_S 5

struct task {
    struct request *request;
    bool (*work)(struct request *);
};

struct slow {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping;
    struct task waiting[WAITING_MAX]; /* a ring */
    size_t first, count;
};

static void refuse(struct request *request)
{
    answer_detail(request, 503, "Too many wait for this");
    request->answer.retry_after_s = RETRY_S;
}

/* Under lock; count > 0. */
static struct task take(struct slow *slow)
{
    struct task task = slow->waiting[slow->first];

    slow->first = (slow->first + 1) % WAITING_MAX;
    slow->count--;
    return task;
}

static void *run(void *context)
{
    struct slow *slow = context;

    pthread_mutex_lock(&slow->lock);
    for (;;) {
        struct task task;
        bool stopping = slow->stopping;

        if (slow->count == 0) {
            if (stopping)
                break;
            pthread_cond_wait(&slow->wake, &slow->lock);
            continue;
        }
        task = take(slow);
        pthread_mutex_unlock(&slow->lock);
        if (stopping)
            refuse(task.request);
        if (stopping || !task.work(task.request))
            request_resume(task.request);
        pthread_mutex_lock(&slow->lock);
    }
    pthread_mutex_unlock(&slow->lock);
    return NULL;
}

void slow_submit(struct slow *slow, struct request *request, bool (*work)(struct request *))
{
    pthread_mutex_lock(&slow->lock);
    if (slow->count == WAITING_MAX || slow->stopping) {
        refuse(request);
    } else {
        request_suspend(request);
        slow->waiting[(slow->first + slow->count++) % WAITING_MAX] = (struct task){request, work};
        pthread_cond_signal(&slow->wake);
    }
    pthread_mutex_unlock(&slow->lock);
}

struct slow *slow_new(void)
{
    struct slow *slow = calloc(1, sizeof *slow);

    if (!slow)
        return NULL;
    pthread_mutex_init(&slow->lock, NULL);
    pthread_cond_init(&slow->wake, NULL);
    if (pthread_create(&slow->thread, NULL, run, slow) == 0)
        return slow;
    free(slow);
    return NULL;
}

void slow_stop(struct slow *slow)
{
    if (!slow)
        return;
    pthread_mutex_lock(&slow->lock);
    slow->stopping = true;
    pthread_cond_signal(&slow->wake);
    pthread_mutex_unlock(&slow->lock);
    pthread_join(slow->thread, NULL);
}

void slow_free(struct slow *slow)
{
    if (!slow)
        return;
    pthread_cond_destroy(&slow->wake);
    pthread_mutex_destroy(&slow->lock);
    free(slow);
}
