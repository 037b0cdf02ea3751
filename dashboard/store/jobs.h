/* For engines: the jobs that wait for the writer thread, the counters of jobs, and the changes that
   jobs have noted. store_submit, store_watch, txn_changed and similar functions are made of
   these. */
#ifndef NIXFLEET_DASHBOARD_STORE_JOBS_H
#define NIXFLEET_DASHBOARD_STORE_JOBS_H

#include <pthread.h>

#include "common/worker.h"
#include "dashboard/store/store.h"

/* ---- waiting jobs ---- */

struct jobs {
    struct worker writer; /* its thread does the jobs; its lock protects the following fields */
    struct job *first, **last; /* waiting jobs */
    uint64_t waiting, commits, jobs;
    int64_t failed_ms; /* monotonic time of the last failed job; 0: none */
    struct pace {
        int64_t since_ms; /* monotonic time */
        uint64_t taken;   /* jobs since then */
        bool busy;
    } pace;
};

void jobs_init(struct jobs *jobs);
/* Any thread may call. */
void jobs_submit(struct jobs *jobs, struct job *job);
/* Takes up to max jobs, as a list. If none waits: waits, and calls idle (unless it is NULL) once
 * after idle_ms. While many jobs come, waits a few milliseconds for more of them. NULL: the store
 * is being closed, and no job is left. */
struct job *jobs_take(struct jobs *jobs, size_t max, int idle_ms, void (*idle)(void *context),
                      void *context);
/* To be called after a transaction of count jobs and before the answers, because a client that
 * learns of a failure may ask for the store's health next. */
void jobs_count(struct jobs *jobs, size_t count, bool failed);
/* Fills waiting, commits and jobs. */
void jobs_counts(struct jobs *jobs, struct store_counts *counts);
/* Whether a job failed a moment ago. */
bool jobs_failing(struct jobs *jobs);

/* ---- changes ---- */

struct changes {
    struct change *list; /* of the writer thread's transaction */
    size_t count, capacity;
    bool lost; /* a change could not be noted, so the transaction must not be committed */

    pthread_mutex_t lock; /* protects these two; held while the watcher is called, because the
                             watcher may be removed at any time */
    void (*watch)(void *, const struct change *, size_t);
    void *context;
};

void changes_init(struct changes *changes);
void changes_free(struct changes *changes);
/* Notes a change. When out of memory, sets lost. */
void changes_note(struct changes *changes, const char *host, const char *run, bool progress);
/* Drops the changes of a transaction that was rolled back, or whose changes were passed on. */
void changes_reset(struct changes *changes);
void changes_watch(struct changes *changes,
                   void (*watch)(void *context, const struct change *changes, size_t count),
                   void *context);
/* Passes a list of changes to the watcher; does nothing if count is 0. */
void changes_publish(struct changes *changes, const struct change *list, size_t count);

#endif
