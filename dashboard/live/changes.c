/* Entries are found by name in a tree (tsearch(3)) and stand in one of three queues: state changes
   and progress that wait, and those told, by number. */
#include "dashboard/live/changes.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define PROGRESS_MS 250
#define PROGRESS_PER_S 400
#define CREDIT_MS 1000 /* progress that was not used up in quiet times is not saved beyond this */

TAILQ_HEAD(queue, host_entry);

struct host_entry {
    char host[HOST_ID_SIZE]; /* first: entries are compared as names */
    TAILQ_ENTRY(host_entry) link;
    struct queue *in;
    uint64_t number;
    int64_t told_ms;
};

struct hostlog {
    pthread_mutex_t lock;
    void *by_name;
    struct queue states, progress, told;
    uint64_t newest;
    int64_t released_ms, credit; /* in thousandths of a host */
};

static int by_host(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct hostlog *hostlog_new(void)
{
    struct hostlog *log = calloc(1, sizeof *log);

    if (!log)
        return NULL;
    pthread_mutex_init(&log->lock, NULL);
    TAILQ_INIT(&log->states);
    TAILQ_INIT(&log->progress);
    TAILQ_INIT(&log->told);
    return log;
}

void hostlog_free(struct hostlog *log)
{
    if (!log)
        return;
    while (log->by_name) { /* a node of the tree points to its entry first (tsearch(3)) */
        struct host_entry *entry = *(struct host_entry **)log->by_name;

        tdelete(entry->host, &log->by_name, by_host);
        free(entry);
    }
    pthread_mutex_destroy(&log->lock);
    free(log);
}

static void move(struct host_entry *entry, struct queue *to)
{
    if (entry->in)
        TAILQ_REMOVE(entry->in, entry, link);
    TAILQ_INSERT_TAIL(to, entry, link);
    entry->in = to;
}

/* The host's entry, made if it is new. */
static struct host_entry *find(struct hostlog *log, const char *host)
{
    struct host_entry **found = tfind(host, &log->by_name, by_host), *entry;

    if (found)
        return *found;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    snprintf(entry->host, sizeof entry->host, "%s", host);
    if (tsearch(entry, &log->by_name, by_host))
        return entry;
    free(entry);
    return NULL;
}

void hostlog_note(struct hostlog *log, const char *host, bool progress)
{
    struct host_entry *entry;

    pthread_mutex_lock(&log->lock);
    entry = find(log, host);
    if (entry && entry->in != &log->states && !(progress && entry->in == &log->progress))
        move(entry, progress ? &log->progress : &log->states);
    pthread_mutex_unlock(&log->lock);
}

static void tell(struct hostlog *log, struct host_entry *entry, int64_t now_ms)
{
    entry->number = ++log->newest;
    entry->told_ms = now_ms;
    move(entry, &log->told);
}

void hostlog_release(struct hostlog *log, int64_t now_ms)
{
    struct host_entry *entry;
    int64_t passed;

    pthread_mutex_lock(&log->lock);
    while ((entry = TAILQ_FIRST(&log->states)))
        tell(log, entry, now_ms);
    passed = now_ms - log->released_ms;
    log->released_ms = now_ms;
    log->credit += (passed < CREDIT_MS ? passed : CREDIT_MS) * PROGRESS_PER_S;
    if (log->credit > (int64_t)CREDIT_MS * PROGRESS_PER_S)
        log->credit = (int64_t)CREDIT_MS * PROGRESS_PER_S;
    while (log->credit >= 1000 && (entry = TAILQ_FIRST(&log->progress)) &&
           (!entry->number || now_ms - entry->told_ms >= PROGRESS_MS)) {
        log->credit -= 1000;
        tell(log, entry, now_ms);
    }
    pthread_mutex_unlock(&log->lock);
}

bool hostlog_waits(struct hostlog *log)
{
    bool waits;

    pthread_mutex_lock(&log->lock);
    waits = !TAILQ_EMPTY(&log->states) || !TAILQ_EMPTY(&log->progress);
    pthread_mutex_unlock(&log->lock);
    return waits;
}

uint64_t hostlog_newest(struct hostlog *log)
{
    uint64_t newest;

    pthread_mutex_lock(&log->lock);
    newest = log->newest;
    pthread_mutex_unlock(&log->lock);
    return newest;
}

size_t hostlog_since(struct hostlog *log, uint64_t *seen, char (*out)[HOST_ID_SIZE], size_t max)
{
    struct host_entry *entry, *first = NULL;
    size_t count = 0;

    pthread_mutex_lock(&log->lock);
    for (entry = TAILQ_LAST(&log->told, queue); entry && entry->number > *seen;
         entry = TAILQ_PREV(entry, queue, link))
        first = entry;
    for (entry = first; entry && count < max; entry = TAILQ_NEXT(entry, link)) {
        memcpy(out[count++], entry->host, HOST_ID_SIZE);
        *seen = entry->number;
    }
    if (!entry)
        *seen = log->newest; /* what was told meanwhile and changed again comes again */
    pthread_mutex_unlock(&log->lock);
    return count;
}
