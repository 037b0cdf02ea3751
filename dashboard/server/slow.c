#include "dashboard/server/slow.h"

#include <stdlib.h>

#include "common/worker.h"

#define WAITING_MAX 32 /* about as many as are done within ten seconds */
#define RETRY_S 5

struct task {
    struct request *request;
    bool (*work)(struct request *);
};

struct slow {
    struct worker worker;             /* its lock protects what follows */
    struct task waiting[WAITING_MAX]; /* a ring */
    size_t first, count;
};

static void refuse(struct request *request)
{
    answer_detail(request, 503, "Too many wait for this");
    request->answer.retry_after_s = RETRY_S;
}

/* Under lock; count > 0. The newest: in a flood, those who wait longest are those who are least
 * likely to wait still, and whoever comes now is not behind all of them. */
static struct task take(struct slow *slow)
{
    slow->count--;
    return slow->waiting[(slow->first + slow->count) % WAITING_MAX];
}

/* Under lock; count > 0. */
static struct task take_oldest(struct slow *slow)
{
    struct task task = slow->waiting[slow->first];

    slow->first = (slow->first + 1) % WAITING_MAX;
    slow->count--;
    return task;
}

static void *run(void *context)
{
    struct slow *slow = context;

    worker_lock(&slow->worker);
    for (;;) {
        struct task task;
        bool stopping = slow->worker.stopping;

        if (slow->count == 0) {
            if (stopping)
                break;
            worker_wait(&slow->worker, WORKER_FOREVER);
            continue;
        }
        task = take(slow);
        worker_unlock(&slow->worker);
        if (stopping)
            refuse(task.request);
        if (stopping || !task.work(task.request))
            request_resume(task.request);
        worker_lock(&slow->worker);
    }
    worker_unlock(&slow->worker);
    return NULL;
}

void slow_submit(struct slow *slow, struct request *request, bool (*work)(struct request *))
{
    struct task displaced = {0};

    worker_lock(&slow->worker);
    if (slow->worker.stopping) {
        refuse(request);
    } else {
        if (slow->count == WAITING_MAX)
            displaced = take_oldest(slow);
        request_suspend(request);
        slow->waiting[(slow->first + slow->count++) % WAITING_MAX] = (struct task){request, work};
        worker_wake(&slow->worker);
    }
    worker_unlock(&slow->worker);
    if (displaced.request) {
        refuse(displaced.request);
        request_resume(displaced.request);
    }
}

struct slow *slow_new(void)
{
    struct slow *slow = calloc(1, sizeof *slow);

    if (!slow)
        return NULL;
    worker_init(&slow->worker);
    if (worker_start(&slow->worker, run, slow) == 0)
        return slow;
    slow_free(slow);
    return NULL;
}

void slow_stop(struct slow *slow)
{
    if (slow)
        worker_stop(&slow->worker);
}

void slow_free(struct slow *slow)
{
    if (!slow)
        return;
    worker_destroy(&slow->worker);
    free(slow);
}
