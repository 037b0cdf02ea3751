/* GET /api/events: the live channel as server-sent events, for curl and for v1's pages:
   `connected`, `host_update` for each change of a host (v1's names), and `run` and `splice` for the
   runs in ?runs=ID,ID. The id of a splice says how much of each run was sent, as RUN:VERSION:NEXT
   with commas between; a client that sends it back as Last-Event-ID goes on there. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/auth/auth.h"
#include "dashboard/live/events.h"
#include "dashboard/live/hub.h"
#include "dashboard/view/host.h"
#include "dashboard/server/server.h"
#include "dashboard/live/follower.h"

#define RUNS_MAX 8
#define LISTENERS_MAX 1000
#define BLOCK_SIZE 16384 /* bytes that libmicrohttpd keeps for each stream */
#define HOSTS_PART 64    /* hosts that are sent at a time */
#define KEEPALIVE_MS 30000

struct listener {
    struct listener *next;
    struct events *events;
    struct server *server;
    struct MHD_Connection *connection;
    struct caller caller;
    bool suspended;
    bool ended;    /* the session of the caller has ended */
    uint64_t seen; /* the newest change that was sent */
    struct follower followers[RUNS_MAX];
    size_t follower_count;
    struct text out;
    size_t sent;
    int64_t quiet_until_ms;
};

/* The lock protects these fields, and what the live thread writes into listeners: suspended, ended,
   and due and changed of the followers. */
struct events {
    pthread_mutex_t lock;
    struct listener *listeners;
    size_t count;
    bool over;
};

struct events *events_new(void)
{
    struct events *events = calloc(1, sizeof *events);

    if (events)
        pthread_mutex_init(&events->lock, NULL);
    return events;
}

void events_free(struct events *events)
{
    if (!events)
        return;
    pthread_mutex_destroy(&events->lock);
    free(events);
}

/* The caller holds the lock. */
static bool has_something(const struct listener *listener, uint64_t newest)
{
    for (size_t i = 0; i < listener->follower_count; i++)
        if (listener->followers[i].due || listener->followers[i].changed)
            return true;
    return listener->seen < newest || monotonic_ms() >= listener->quiet_until_ms;
}

/* The caller holds the lock. */
static void wake_up(struct listener *listener)
{
    if (listener->suspended)
        MHD_resume_connection(listener->connection);
    listener->suspended = false;
}

void events_round(struct events *events, uint64_t newest, const struct change *changes,
                  size_t count)
{
    pthread_mutex_lock(&events->lock);
    for (struct listener *listener = events->listeners; listener; listener = listener->next) {
        for (size_t i = 0; i < listener->follower_count; i++)
            follower_touch(&listener->followers[i], changes, count);
        /* If a stream is not suspended, `seen` and the time belong to its HTTP thread. */
        if (listener->suspended && has_something(listener, newest))
            wake_up(listener);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_end_sessions(struct events *events, int64_t now_ms, bool recheck)
{
    pthread_mutex_lock(&events->lock);
    for (struct listener *listener = events->listeners; listener; listener = listener->next)
        if (!listener->ended &&
            ((listener->caller.expires_ms && now_ms >= listener->caller.expires_ms) ||
             (recheck && !auth_still(listener->server, &listener->caller)))) {
            listener->ended = true;
            wake_up(listener);
        }
    pthread_mutex_unlock(&events->lock);
}

void events_end(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    for (struct listener *listener = events->listeners; listener; listener = listener->next) {
        listener->ended = true;
        wake_up(listener);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_stop(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->over = true;
    for (struct listener *listener = events->listeners; listener; listener = listener->next)
        wake_up(listener);
    pthread_mutex_unlock(&events->lock);
}

static void add_event(struct listener *listener, const char *name, const struct text *data)
{
    struct text *out = &listener->out;

    text_printf(out, "event: %s\ndata: ", name);
    text_add(out, data->bytes, data->size);
    text_puts(out, "\n\n");
    out->failed |= data->failed;
}

static void add_host_update(struct listener *listener, const char *host)
{
    struct text data = {0}, object = {0};
    int found = host_json(listener->server->store, host, true,
                          store_now_ms(listener->server->store), &object);

    if (found < 0 || object.failed) {
        listener->out.failed = true; /* the stream ends, and the client connects again */
    } else if (found) {
        text_puts(&data, "{");
        text_key_json(&data, "type", "host_update");
        text_key_json(&data, "host_id", host);
        text_puts(&data, ",");
        text_add(&data, object.bytes + 1, object.size - 1);
        add_event(listener, "host_update", &data);
    }
    text_free(&object);
    text_free(&data);
}

/* The id before a splice says how much of every run has been sent after the splice. */
static void add_id(struct listener *listener)
{
    text_puts(&listener->out, "id: ");
    for (size_t i = 0; i < listener->follower_count; i++)
        text_printf(&listener->out, "%s%s:%lld:%lld", i ? "," : "", listener->followers[i].run,
                    (long long)listener->followers[i].version,
                    (long long)listener->followers[i].next);
    text_puts(&listener->out, "\n");
}

/* The live thread also writes the flags; the rest of a follower belongs to this thread. */
static struct follower take_follower(struct listener *listener, size_t i)
{
    struct follower follower;

    pthread_mutex_lock(&listener->events->lock);
    follower = listener->followers[i];
    listener->followers[i].due = listener->followers[i].changed = false;
    pthread_mutex_unlock(&listener->events->lock);
    return follower;
}

static void put_follower(struct listener *listener, size_t i, const struct follower *follower)
{
    pthread_mutex_lock(&listener->events->lock);
    listener->followers[i].next = follower->next;
    listener->followers[i].version = follower->version;
    listener->followers[i].due |= follower->due;
    pthread_mutex_unlock(&listener->events->lock);
}

static void add_lines_of(struct listener *listener, size_t i)
{
    struct follower follower = take_follower(listener, i);
    struct text lines = {0}, run = {0};
    int built = follower.due ? follower_splice(listener->server->store, &follower, &lines) : 0,
        changed = follower.changed ? follower_run(listener->server->store, &follower, &run) : 0;

    put_follower(listener, i, &follower);
    listener->out.failed |= built < 0 || changed < 0;
    if (built > 0) {
        add_id(listener);
        add_event(listener, "splice", &lines);
    }
    if (changed > 0)
        add_event(listener, "run", &run);
    text_free(&lines);
    text_free(&run);
}

static void build(struct listener *listener)
{
    char hosts[HOSTS_PART][HOST_ID_SIZE];
    size_t count = change_feed_since(live_change_feed(listener->server->live), &listener->seen,
                                     hosts, HOSTS_PART);

    for (size_t i = 0; i < count; i++)
        add_host_update(listener, hosts[i]);
    for (size_t i = 0; i < listener->follower_count; i++)
        add_lines_of(listener, i);
    if (!listener->out.size && monotonic_ms() >= listener->quiet_until_ms)
        text_puts(&listener->out, ": keepalive\n\n");
}

static bool is_over(const struct listener *listener)
{
    bool ended;

    pthread_mutex_lock(&listener->events->lock);
    ended = listener->events->over || listener->ended;
    pthread_mutex_unlock(&listener->events->lock);
    return ended;
}

static ssize_t more(void *context, uint64_t position, char *bytes, size_t max)
{
    struct listener *listener = context;
    bool ended;
    size_t size;

    (void)position;
    if (is_over(listener))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (listener->sent == listener->out.size) {
        listener->out.size = listener->sent = 0;
        build(listener);
    }
    if (listener->out.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!listener->out.size) {
        pthread_mutex_lock(&listener->events->lock);
        ended = listener->events->over || listener->ended;
        if (!ended && !has_something(
                          listener, change_feed_newest(live_change_feed(listener->server->live)))) {
            /* if there is something to send now, libmicrohttpd calls this function again at once */
            listener->suspended = true;
            MHD_suspend_connection(listener->connection);
        }
        pthread_mutex_unlock(&listener->events->lock);
        return ended ? MHD_CONTENT_READER_END_OF_STREAM : 0;
    }
    listener->quiet_until_ms = monotonic_ms() + KEEPALIVE_MS;
    size = listener->out.size - listener->sent < max ? listener->out.size - listener->sent : max;
    memcpy(bytes, listener->out.bytes + listener->sent, size);
    listener->sent += size;
    return (ssize_t)size;
}

static void forget(void *context)
{
    struct listener *listener = context;

    pthread_mutex_lock(&listener->events->lock);
    for (struct listener **at = &listener->events->listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            listener->events->count--;
            break;
        }
    pthread_mutex_unlock(&listener->events->lock);
    text_free(&listener->out);
    free(listener);
}

/* Moves a follower to the position in Last-Event-ID. An id of another form is ignored; the run is
 * then sent from its start. */
static void resume(struct follower *follower, const char *last_id)
{
    const char *at = last_id ? strstr(last_id, follower->run) : NULL;
    long long version, next;

    if (at && sscanf(at + strlen(follower->run), ":%lld:%lld", &version, &next) == 2 &&
        version >= 0 && next >= 0) {
        follower->version = version;
        follower->next = next;
    }
}

/* A run that is not there is not followed. False: the store failed. */
static bool follow(struct listener *listener, const char *runs, const char *last_id)
{
    while (runs && *runs && listener->follower_count < RUNS_MAX) {
        size_t length = strcspn(runs, ",");
        struct follower *follower = &listener->followers[listener->follower_count];
        char id[RUN_ID_SIZE];
        int found;

        snprintf(id, sizeof id, "%.*s", (int)(length < sizeof id ? length : sizeof id - 1), runs);
        found = follower_start(listener->server->store, follower, id, 0);
        if (found < 0)
            return false;
        if (found) {
            follower->changed = true;
            resume(follower, last_id);
            listener->follower_count++;
        }
        runs += length + (runs[length] == ',');
    }
    return true;
}

/* False if the request names more runs than RUNS_MAX. */
static bool few_runs(const char *runs)
{
    size_t count = 1;

    for (; runs && *runs; runs++)
        count += *runs == ',';
    return count <= RUNS_MAX;
}

/* Adds the listener to the list. False if there are too many. */
static bool enlist(struct listener *listener)
{
    bool added;

    pthread_mutex_lock(&listener->events->lock);
    added = listener->events->count < LISTENERS_MAX;
    if (added) {
        listener->next = listener->events->listeners;
        listener->events->listeners = listener;
        listener->events->count++;
    }
    pthread_mutex_unlock(&listener->events->lock);
    return added;
}

static struct listener *listener_new(struct request *request)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (!listener)
        return NULL;
    listener->server = request->server;
    listener->events = live_events(request->server->live);
    listener->connection = request->connection;
    listener->caller = request->caller;
    listener->seen = change_feed_newest(live_change_feed(request->server->live));
    text_printf(&listener->out, "event: connected\ndata: {\"clients\": %zu}\n\n",
                live_count(request->server->live) + 1);
    listener->out.failed |=
        !follow(listener, request_query(request, "runs"), request_header(request, "Last-Event-ID"));
    return listener;
}

void get_events(struct request *request)
{
    struct listener *listener;
    struct MHD_Response *response;

    if (!few_runs(request_query(request, "runs"))) {
        answer_detail(request, 400, "runs: at most %d runs", RUNS_MAX);
        return;
    }
    listener = listener_new(request);
    if (!listener || listener->out.failed || !enlist(listener)) {
        if (listener)
            forget(listener);
        answer_later(request, "too many event streams are open");
        return;
    }
    response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, more, listener, forget);
    if (!response) {
        forget(listener);
        answer_later(request, "too many event streams are open");
        return;
    }
    request->answer.status = 200;
    request->answer.type = "text/event-stream; charset=utf-8";
    request->answer.stream = true;
    request->answer.response = response;
}
