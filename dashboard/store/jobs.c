#include "dashboard/store/jobs.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io.h"

#define FAILING_MS 15000 /* how long a failed job counts as trouble */
#define GATHER_MS 10     /* the time between two groups while many jobs come */
#define GATHER_JOBS 16   /* this many jobs in GATHER_MS are many */

/* ---- waiting jobs ---- */

void jobs_init(struct jobs *jobs)
{
    jobs->last = &jobs->first;
    worker_init(&jobs->writer);
}

void jobs_submit(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    worker_lock(&jobs->writer);
    *jobs->last = job;
    jobs->last = &job->next;
    jobs->waiting++;
    worker_wake(&jobs->writer);
    worker_unlock(&jobs->writer);
}

/* Waits until there are jobs, or the store is being closed. The caller holds the lock. */
static void wait_for_jobs(struct jobs *jobs, int idle_ms, void (*idle)(void *), void *context)
{
    struct timespec moment = worker_in(idle_ms);

    while (!jobs->first && !jobs->writer.stopping) {
        if (!idle) {
            worker_wait(&jobs->writer, WORKER_FOREVER);
        } else if (!worker_wait_until(&jobs->writer, &moment)) {
            worker_unlock(&jobs->writer);
            idle(context);
            worker_lock(&jobs->writer);
            idle = NULL;
        }
    }
}

static void set_pace(struct pace *pace, int64_t now_ms)
{
    int64_t passed = now_ms - pace->since_ms;

    if (passed < GATHER_MS)
        return;
    pace->busy = (int64_t)pace->taken * GATHER_MS >= GATHER_JOBS * passed;
    pace->since_ms = now_ms;
    pace->taken = 0;
}

/* A commit costs a sync and the pages that its jobs share. So while many jobs come, a group is
 * taken only every GATHER_MS. The caller holds the lock, which is released while the thread sleeps,
 * so that no job wakes the thread. */
static void gather(struct jobs *jobs)
{
    struct pace *pace = &jobs->pace;
    int64_t left = pace->since_ms + GATHER_MS - monotonic_ms();

    if (pace->busy && left > 0 && !jobs->writer.stopping) {
        worker_unlock(&jobs->writer);
        poll(NULL, 0, (int)left);
        worker_lock(&jobs->writer);
    }
    set_pace(pace, monotonic_ms());
}

struct job *jobs_take(struct jobs *jobs, size_t max, int idle_ms, void (*idle)(void *context),
                      void *context)
{
    struct job *group, **end = &group;
    uint64_t count = 0;

    worker_lock(&jobs->writer);
    wait_for_jobs(jobs, idle_ms, idle, context);
    gather(jobs);
    group = jobs->first;
    while (*end && count < max) {
        end = &(*end)->next;
        count++;
    }
    jobs->first = *end;
    if (!jobs->first)
        jobs->last = &jobs->first;
    *end = NULL;
    jobs->waiting -= count;
    jobs->pace.taken += count;
    worker_unlock(&jobs->writer);
    return group;
}

void jobs_count(struct jobs *jobs, size_t count, bool failed)
{
    worker_lock(&jobs->writer);
    if (failed)
        jobs->failed_ms = monotonic_ms();
    jobs->commits++;
    jobs->jobs += count;
    worker_unlock(&jobs->writer);
}

void jobs_counts(struct jobs *jobs, struct store_counts *counts)
{
    worker_lock(&jobs->writer);
    counts->waiting = jobs->waiting;
    counts->commits = jobs->commits;
    counts->jobs = jobs->jobs;
    worker_unlock(&jobs->writer);
}

bool jobs_failing(struct jobs *jobs)
{
    bool failing;

    worker_lock(&jobs->writer);
    failing = jobs->failed_ms && monotonic_ms() - jobs->failed_ms < FAILING_MS;
    worker_unlock(&jobs->writer);
    return failing;
}

/* ---- changes ---- */

void changes_init(struct changes *changes)
{
    pthread_mutex_init(&changes->lock, NULL);
}

void changes_free(struct changes *changes)
{
    pthread_mutex_destroy(&changes->lock);
    free(changes->list);
}

void changes_note(struct changes *changes, const char *host, const char *run, bool progress)
{
    struct change *change;

    if (changes->count == changes->capacity) {
        size_t capacity = changes->capacity ? changes->capacity * 2 : 64;
        struct change *grown = realloc(changes->list, capacity * sizeof *grown);

        if (!grown) {
            changes->lost = true;
            return;
        }
        changes->list = grown;
        changes->capacity = capacity;
    }
    change = &changes->list[changes->count++];
    snprintf(change->host, sizeof change->host, "%s", host);
    snprintf(change->run, sizeof change->run, "%s", run ? run : "");
    change->progress = progress;
}

void changes_reset(struct changes *changes)
{
    changes->count = 0;
    changes->lost = false;
}

void changes_watch(struct changes *changes, void (*watch)(void *, const struct change *, size_t),
                   void *context)
{
    pthread_mutex_lock(&changes->lock);
    changes->context = context;
    changes->watch = watch;
    pthread_mutex_unlock(&changes->lock);
}

void changes_publish(struct changes *changes, const struct change *list, size_t count)
{
    pthread_mutex_lock(&changes->lock);
    if (changes->watch && count)
        changes->watch(changes->context, list, count);
    pthread_mutex_unlock(&changes->lock);
}
