/* A tree (tsearch(3)) finds entries by name. A noted change waits in one of two queues, for states
   and for progress, until it gets a number. An entry that has had a number is in the list of all
   numbered changes, and after a state change also in the list of these, each in the order of the
   numbers. An entry stays in these lists while a newer change waits, so that the newer change does
   not hide the older one from a page that has not read it. */
#include "dashboard/live/change_feed.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define PROGRESS_MS 250
#define PROGRESS_PER_S 400
#define CREDIT_MS 1000 /* unused credit is kept for this long */

TAILQ_HEAD(queue, host_entry);

enum list_kind { ALL, STATES, LISTS };

struct host_entry {
    char host[HOST_ID_SIZE]; /* must be first: entries are compared as names */
    TAILQ_ENTRY(host_entry) link;
    struct queue *waits_in; /* NULL: the host does not wait */
    struct {
        TAILQ_ENTRY(host_entry) link;
        uint64_t number; /* 0: the entry is not in this list */
    } in[LISTS];
    uint64_t noted;
    int64_t numbered_ms;
};

/* The newest change is the last one. */
struct numbered {
    struct queue entries;
    uint64_t newest;
};

struct change_feed {
    pthread_mutex_t lock;
    void *by_name;
    struct queue states, progress;
    struct numbered lists[LISTS];
    uint64_t noted;
    int64_t released_ms, credit; /* in thousandths of a host */
};

static int by_host(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct change_feed *change_feed_new(void)
{
    struct change_feed *feed = calloc(1, sizeof *feed);

    if (!feed)
        return NULL;
    pthread_mutex_init(&feed->lock, NULL);
    TAILQ_INIT(&feed->states);
    TAILQ_INIT(&feed->progress);
    for (int kind = 0; kind < LISTS; kind++)
        TAILQ_INIT(&feed->lists[kind].entries);
    return feed;
}

void change_feed_free(struct change_feed *feed)
{
    if (!feed)
        return;
    while (feed->by_name) { /* a node of the tree begins with a pointer to its entry (tsearch(3)) */
        struct host_entry *entry = *(struct host_entry **)feed->by_name;

        tdelete(entry->host, &feed->by_name, by_host);
        free(entry);
    }
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

static void stop_waiting(struct host_entry *entry)
{
    if (entry->waits_in)
        TAILQ_REMOVE(entry->waits_in, entry, link);
    entry->waits_in = NULL;
}

static void wait_in(struct host_entry *entry, struct queue *queue)
{
    stop_waiting(entry);
    TAILQ_INSERT_TAIL(queue, entry, link);
    entry->waits_in = queue;
}

/* The host's entry; created if it is new. NULL when out of memory. */
static struct host_entry *find(struct change_feed *feed, const char *host)
{
    struct host_entry **found = tfind(host, &feed->by_name, by_host), *entry;

    if (found)
        return *found;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    snprintf(entry->host, sizeof entry->host, "%s", host);
    if (tsearch(entry, &feed->by_name, by_host))
        return entry;
    free(entry);
    return NULL;
}

bool change_feed_note(struct change_feed *feed, const char *host, bool progress)
{
    struct host_entry *entry;

    pthread_mutex_lock(&feed->lock);
    entry = find(feed, host);
    if (entry)
        entry->noted = ++feed->noted;
    if (entry && entry->waits_in != &feed->states && !(progress && entry->waits_in))
        wait_in(entry, progress ? &feed->progress : &feed->states);
    pthread_mutex_unlock(&feed->lock);
    return entry != NULL;
}

static void append(struct change_feed *feed, enum list_kind kind, struct host_entry *entry,
                   uint64_t number)
{
    struct numbered *list = &feed->lists[kind];

    if (entry->in[kind].number)
        TAILQ_REMOVE(&list->entries, entry, in[kind].link);
    TAILQ_INSERT_TAIL(&list->entries, entry, in[kind].link);
    entry->in[kind].number = list->newest = number;
}

static void give_number(struct change_feed *feed, struct host_entry *entry, int64_t now_ms)
{
    uint64_t number = feed->lists[ALL].newest + 1;

    entry->numbered_ms = now_ms;
    if (entry->waits_in == &feed->states)
        append(feed, STATES, entry, number);
    append(feed, ALL, entry, number);
    stop_waiting(entry);
}

void change_feed_release(struct change_feed *feed, int64_t now_ms)
{
    struct host_entry *entry;
    int64_t passed;

    pthread_mutex_lock(&feed->lock);
    while ((entry = TAILQ_FIRST(&feed->states)))
        give_number(feed, entry, now_ms);
    passed = now_ms - feed->released_ms;
    feed->released_ms = now_ms;
    feed->credit += (passed < CREDIT_MS ? passed : CREDIT_MS) * PROGRESS_PER_S;
    if (feed->credit > (int64_t)CREDIT_MS * PROGRESS_PER_S)
        feed->credit = (int64_t)CREDIT_MS * PROGRESS_PER_S;
    while (feed->credit >= 1000 && (entry = TAILQ_FIRST(&feed->progress)) &&
           (!entry->in[ALL].number || now_ms - entry->numbered_ms >= PROGRESS_MS)) {
        feed->credit -= 1000;
        give_number(feed, entry, now_ms);
    }
    pthread_mutex_unlock(&feed->lock);
}

bool change_feed_waits(struct change_feed *feed)
{
    bool waits;

    pthread_mutex_lock(&feed->lock);
    waits = !TAILQ_EMPTY(&feed->states) || !TAILQ_EMPTY(&feed->progress);
    pthread_mutex_unlock(&feed->lock);
    return waits;
}

static uint64_t newest(struct change_feed *feed, enum list_kind kind)
{
    uint64_t number;

    pthread_mutex_lock(&feed->lock);
    number = feed->lists[kind].newest;
    pthread_mutex_unlock(&feed->lock);
    return number;
}

uint64_t change_feed_newest(struct change_feed *feed)
{
    return newest(feed, ALL);
}

uint64_t change_feed_newest_state(struct change_feed *feed)
{
    return newest(feed, STATES);
}

/* The oldest change with a number above seen. Under lock. */
static struct host_entry *first_after(struct change_feed *feed, enum list_kind kind, uint64_t seen)
{
    struct host_entry *first = NULL;

    for (struct host_entry *entry = TAILQ_LAST(&feed->lists[kind].entries, queue);
         entry && entry->in[kind].number > seen; entry = TAILQ_PREV(entry, queue, in[kind].link))
        first = entry;
    return first;
}

static size_t since(struct change_feed *feed, enum list_kind kind, uint64_t *seen,
                    char (*out)[HOST_ID_SIZE], size_t max)
{
    struct host_entry *entry;
    size_t count = 0;

    pthread_mutex_lock(&feed->lock);
    for (entry = first_after(feed, kind, *seen); entry && count < max;
         entry = TAILQ_NEXT(entry, in[kind].link)) {
        memcpy(out[count++], entry->host, HOST_ID_SIZE);
        *seen = entry->in[kind].number;
    }
    if (!entry)
        /* an entry that has changed again is sent again, with a higher number */
        *seen = feed->lists[ALL].newest;
    pthread_mutex_unlock(&feed->lock);
    return count;
}

size_t change_feed_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                         size_t max)
{
    return since(feed, ALL, seen, out, max);
}

size_t change_feed_states_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                                size_t max)
{
    return since(feed, STATES, seen, out, max);
}

void change_feed_look(struct change_feed *feed, struct viewed *hosts, size_t count)
{
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < count; i++) {
        struct host_entry **found = tfind(hosts[i].host, &feed->by_name, by_host);

        hosts[i].noted = found ? (*found)->noted : 0;
    }
    pthread_mutex_unlock(&feed->lock);
}

uint64_t change_feed_noted(struct change_feed *feed)
{
    uint64_t noted;

    pthread_mutex_lock(&feed->lock);
    noted = feed->noted;
    pthread_mutex_unlock(&feed->lock);
    return noted;
}
