/* A tree (tsearch(3)) finds entries by name. Each entry is in one of three queues: waiting state
   changes, waiting progress, and numbered changes in the order of their numbers. An entry that has
   a numbered state change is also in a queue in the order of these: progress that is noted before
   a page has read the state change must not hide that change. */
#include "dashboard/live/change_feed.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define PROGRESS_MS 250
#define PROGRESS_PER_S 400
#define CREDIT_MS 1000 /* credit that is not used in quiet times is kept for this long only */

TAILQ_HEAD(queue, host_entry);

struct host_entry {
    char host[HOST_ID_SIZE]; /* must be first: entries are compared as names */
    TAILQ_ENTRY(host_entry) link, state_link;
    struct queue *in;
    uint64_t number, state; /* of its newest change, and of its newest state change; 0: none */
    uint64_t noted;
    int64_t numbered_ms;
};

struct change_feed {
    pthread_mutex_t lock;
    void *by_name;
    struct queue states, progress, numbered, numbered_states;
    uint64_t newest, newest_state, noted;
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
    TAILQ_INIT(&feed->numbered);
    TAILQ_INIT(&feed->numbered_states);
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

static void move(struct host_entry *entry, struct queue *to)
{
    if (entry->in)
        TAILQ_REMOVE(entry->in, entry, link);
    TAILQ_INSERT_TAIL(to, entry, link);
    entry->in = to;
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
    if (entry && entry->in != &feed->states && !(progress && entry->in == &feed->progress))
        move(entry, progress ? &feed->progress : &feed->states);
    pthread_mutex_unlock(&feed->lock);
    return entry != NULL;
}

static void give_number(struct change_feed *feed, struct host_entry *entry, int64_t now_ms)
{
    entry->number = ++feed->newest;
    entry->numbered_ms = now_ms;
    move(entry, &feed->numbered);
}

/* Notes that the newest number of the entry is one of a state change. */
static void number_state(struct change_feed *feed, struct host_entry *entry)
{
    if (entry->state)
        TAILQ_REMOVE(&feed->numbered_states, entry, state_link);
    entry->state = feed->newest_state = entry->number;
    TAILQ_INSERT_TAIL(&feed->numbered_states, entry, state_link);
}

void change_feed_release(struct change_feed *feed, int64_t now_ms)
{
    struct host_entry *entry;
    int64_t passed;

    pthread_mutex_lock(&feed->lock);
    while ((entry = TAILQ_FIRST(&feed->states))) {
        give_number(feed, entry, now_ms);
        number_state(feed, entry);
    }
    passed = now_ms - feed->released_ms;
    feed->released_ms = now_ms;
    feed->credit += (passed < CREDIT_MS ? passed : CREDIT_MS) * PROGRESS_PER_S;
    if (feed->credit > (int64_t)CREDIT_MS * PROGRESS_PER_S)
        feed->credit = (int64_t)CREDIT_MS * PROGRESS_PER_S;
    while (feed->credit >= 1000 && (entry = TAILQ_FIRST(&feed->progress)) &&
           (!entry->number || now_ms - entry->numbered_ms >= PROGRESS_MS)) {
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

uint64_t change_feed_newest(struct change_feed *feed)
{
    uint64_t newest;

    pthread_mutex_lock(&feed->lock);
    newest = feed->newest;
    pthread_mutex_unlock(&feed->lock);
    return newest;
}

uint64_t change_feed_newest_state(struct change_feed *feed)
{
    uint64_t newest;

    pthread_mutex_lock(&feed->lock);
    newest = feed->newest_state;
    pthread_mutex_unlock(&feed->lock);
    return newest;
}

/* The oldest change with a number above seen. Under lock. */
static struct host_entry *first_after(struct change_feed *feed, uint64_t seen)
{
    struct host_entry *first = NULL;

    for (struct host_entry *entry = TAILQ_LAST(&feed->numbered, queue);
         entry && entry->number > seen; entry = TAILQ_PREV(entry, queue, link))
        first = entry;
    return first;
}

/* The same of state changes. */
static struct host_entry *first_state_after(struct change_feed *feed, uint64_t seen)
{
    struct host_entry *first = NULL;

    for (struct host_entry *entry = TAILQ_LAST(&feed->numbered_states, queue);
         entry && entry->state > seen; entry = TAILQ_PREV(entry, queue, state_link))
        first = entry;
    return first;
}

size_t change_feed_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                         size_t max)
{
    struct host_entry *entry;
    size_t count = 0;

    pthread_mutex_lock(&feed->lock);
    for (entry = first_after(feed, *seen); entry && count < max; entry = TAILQ_NEXT(entry, link)) {
        memcpy(out[count++], entry->host, HOST_ID_SIZE);
        *seen = entry->number;
    }
    if (!entry)
        /* an entry that has changed again is sent again, with a higher number */
        *seen = feed->newest;
    pthread_mutex_unlock(&feed->lock);
    return count;
}

size_t change_feed_states_since(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                                size_t max)
{
    struct host_entry *entry;
    size_t count = 0;

    pthread_mutex_lock(&feed->lock);
    for (entry = first_state_after(feed, *seen); entry && count < max;
         entry = TAILQ_NEXT(entry, state_link)) {
        memcpy(out[count++], entry->host, HOST_ID_SIZE);
        *seen = entry->state;
    }
    if (!entry)
        *seen = feed->newest;
    pthread_mutex_unlock(&feed->lock);
    return count;
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
