/* The jobs that wait for an engine's writer thread, how many there were, and the changes that they
   noted. For engines: what store_submit, store_watch, txn_changed and their kin consist of. */
#ifndef NIXFLEET_DASHBOARD_STORE_JOBS_H
#define NIXFLEET_DASHBOARD_STORE_JOBS_H

#include <pthread.h>

#include "common/worker.h"
#include "dashboard/store/store.h"

/* ---- waiting jobs ---- */

struct jobs {
    struct worker writer;      /* its thread does the jobs; its lock protects what follows */
    struct job *first, **last; /* waiting */
    uint64_t waiting, commits, jobs;
    int64_t failed_ms; /* monotonic: when a job last failed; 0: never */
    struct pace {
        int64_t since_ms; /* monotonic */
        uint64_t taken;   /* jobs, since then */
        bool busy;
    } pace;
};

void jobs_init(struct jobs *jobs);
/* From any thread. */
void jobs_submit(struct jobs *jobs, struct job *job);
/* Takes up to max jobs, as a list. If none waits: waits, and calls idle (unless it is NULL) once
 * when idle_ms have passed. While many jobs come, waits a few milliseconds for more of them. NULL:
 * the store is being closed, and nothing is left. */
struct job *jobs_take(struct jobs *jobs, size_t max, int idle_ms, void (*idle)(void *context),
                      void *context);
/* A transaction of count jobs is over. Called before the answers: a client that is told of a
 * failure may ask for the store's health next. */
void jobs_count(struct jobs *jobs, size_t count, bool failed);
/* Fills waiting, commits and jobs. */
void jobs_counts(struct jobs *jobs, struct store_counts *counts);
/* Whether a job failed a moment ago. */
bool jobs_failing(struct jobs *jobs);

/* ---- changes ---- */

struct changes {
    struct change *list; /* the writer thread's: those of the transaction */
    size_t count, room;
    bool lost; /* one could not be noted: the transaction must not be committed */

    pthread_mutex_t lock; /* protects these two; held while the watcher is called, because the
                             watcher may go at any time */
    void (*watch)(void *, const struct change *, size_t);
    void *context;
};

void changes_init(struct changes *changes);
void changes_free(struct changes *changes);
/* Out of memory, lost is set. */
void changes_note(struct changes *changes, const char *host, const char *run, bool progress);
/* Forgets the changes of a transaction that was rolled back, or told. */
void changes_reset(struct changes *changes);
void changes_watch(struct changes *changes,
                   void (*watch)(void *context, const struct change *changes, size_t count),
                   void *context);
/* Tells the watcher of a list of changes; nothing if count is 0. */
void changes_tell(struct changes *changes, const struct change *list, size_t count);

#endif
