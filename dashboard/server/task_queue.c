#include "dashboard/server/task_queue.h"

#include <stdlib.h>

#include "common/worker.h"

#define WAITING_MAX 32 /* about as many as are done in ten seconds */
#define RETRY_S 5

struct task {
    struct request *request;
    bool (*work)(struct request *);
};

struct task_queue {
    struct worker worker;             /* its lock protects the following fields */
    struct task waiting[WAITING_MAX]; /* a ring buffer */
    size_t first, count;
};

static void refuse(struct request *request)
{
    answer_detail(request, 503, "Too many requests are waiting");
    request->answer.retry_after_s = RETRY_S;
}

/* The caller holds the lock; count > 0. Takes the newest task: in a flood, the clients that have
 * waited longest have probably given up, and a new client need not wait behind all of them. */
static struct task take(struct task_queue *queue)
{
    queue->count--;
    return queue->waiting[(queue->first + queue->count) % WAITING_MAX];
}

/* The caller holds the lock; count > 0. */
static struct task take_oldest(struct task_queue *queue)
{
    struct task task = queue->waiting[queue->first];

    queue->first = (queue->first + 1) % WAITING_MAX;
    queue->count--;
    return task;
}

static void *run(void *context)
{
    struct task_queue *queue = context;

    worker_lock(&queue->worker);
    for (;;) {
        struct task task;
        bool stopping = queue->worker.stopping;

        if (queue->count == 0) {
            if (stopping)
                break;
            worker_wait(&queue->worker, WORKER_FOREVER);
            continue;
        }
        task = take(queue);
        worker_unlock(&queue->worker);
        if (stopping)
            refuse(task.request);
        if (stopping || !task.work(task.request))
            request_resume(task.request);
        worker_lock(&queue->worker);
    }
    worker_unlock(&queue->worker);
    return NULL;
}

void task_queue_submit(struct task_queue *queue, struct request *request,
                       bool (*work)(struct request *))
{
    struct task displaced = {0};

    worker_lock(&queue->worker);
    if (queue->worker.stopping && request->suspended) {
        displaced.request = request; /* from the writer thread: nobody else resumes it */
    } else if (queue->worker.stopping) {
        refuse(request);
    } else {
        if (queue->count == WAITING_MAX)
            displaced = take_oldest(queue);
        request_suspend(request);
        queue->waiting[(queue->first + queue->count++) % WAITING_MAX] =
            (struct task){request, work};
        worker_wake(&queue->worker);
    }
    worker_unlock(&queue->worker);
    if (displaced.request) {
        refuse(displaced.request);
        request_resume(displaced.request);
    }
}

struct task_queue *task_queue_new(void)
{
    struct task_queue *queue = calloc(1, sizeof *queue);

    if (!queue)
        return NULL;
    worker_init(&queue->worker);
    if (worker_start(&queue->worker, run, queue) == 0)
        return queue;
    task_queue_free(queue);
    return NULL;
}

void task_queue_stop(struct task_queue *queue)
{
    if (queue)
        worker_stop(&queue->worker);
}

void task_queue_free(struct task_queue *queue)
{
    if (!queue)
        return;
    worker_destroy(&queue->worker);
    free(queue);
}
