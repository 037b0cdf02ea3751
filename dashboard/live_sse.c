/* GET /api/events: the same as server-sent events, for curl and for v1's pages: `connected`,
   `host_update` for each change of a host (v1's names), and, for the runs asked for with
   ?runs=ID,ID, `run` and `splice`. The id of an event is the version of the lines; Last-Event-ID
   resumes behind it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/io.h"
#include "api.h"
#include "live.h"
#include "runs.h"
#include "server.h"

#define RUNS_MAX 8
#define DIRTY_MAX                                                                  \
    1000 /* hosts that wait to be told; beyond that the whole list is told instead \
          */
#define KEEPALIVE_MS 30000

struct listener {
    struct listener *next;
    struct server *server;
    struct MHD_Connection *connection;
    bool suspended, gone;
    struct tail tails[RUNS_MAX];
    size_t tail_count;
    struct change dirty[DIRTY_MAX];
    size_t dirty_count;
    struct text out;
    size_t sent;
    int64_t quiet_until_ms;
};

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* over the list and what the live thread writes into it */
static struct listener *listeners;

/* Under lock. */
static void wake(struct listener *listener)
{
    if (listener->suspended) {
        listener->suspended = false;
        MHD_resume_connection(listener->connection);
    }
}

static void note(struct listener *listener, const struct change *change)
{
    for (size_t i = 0; i < listener->tail_count; i++)
        if (strcmp(listener->tails[i].run, change->run) == 0)
            listener->tails[i].due = true;
    for (size_t i = 0; i < listener->dirty_count; i++)
        if (strcmp(listener->dirty[i].host, change->host) == 0)
            return;
    if (listener->dirty_count < DIRTY_MAX)
        listener->dirty[listener->dirty_count++] = *change;
}

void sse_change(struct server *server, const struct change *change)
{
    (void)server;
    pthread_mutex_lock(&lock);
    for (struct listener *listener = listeners; listener; listener = listener->next) {
        note(listener, change);
        wake(listener);
    }
    pthread_mutex_unlock(&lock);
}

void sse_tick(struct server *server)
{
    int64_t now = monotonic_ms();

    (void)server;
    pthread_mutex_lock(&lock);
    for (struct listener *listener = listeners; listener; listener = listener->next)
        if (now >= listener->quiet_until_ms)
            wake(listener);
    pthread_mutex_unlock(&lock);
}

static void add_event(struct listener *listener, const char *name, int64_t id,
                      const struct text *data)
{
    struct text *out = &listener->out;

    if (!data->size)
        return;
    text_printf(out, "event: %s\n", name);
    if (id)
        text_printf(out, "id: %lld\n", (long long)id);
    text_puts(out, "data: ");
    text_add(out, data->bytes, data->size);
    text_puts(out, "\n\n");
}

static void add_host_update(struct listener *listener, const char *host)
{
    struct text data = {0}, object = {0};

    if (hosts_json(listener->server->store, host, wall_ms(), &object)) {
        text_puts(&data, "{");
        text_key_json(&data, "type", "host_update");
        text_key_json(&data, "host_id", host);
        text_puts(&data, ",");
        text_add(&data, object.bytes + 1, object.size - 1);
        add_event(listener, "host_update", 0, &data);
    }
    text_free(&object);
    text_free(&data);
}

static void add_tail(struct listener *listener, struct tail *tail)
{
    struct text data = {0}, object = {0};

    if (live_splice(listener->server->store, tail, &data))
        add_event(listener, "splice", tail->version, &data);
    data.size = 0;
    if (run_json(listener->server->store, NULL, tail->run, wall_ms(), &object)) {
        text_puts(&data, "{\"type\":\"run\",\"run\":");
        text_add(&data, object.bytes, object.size);
        text_puts(&data, "}");
        add_event(listener, "run", 0, &data);
    }
    text_free(&object);
    text_free(&data);
}

/* Takes from the live thread's notes what is to be told now. */
static void build(struct listener *listener)
{
    struct change dirty[64];
    size_t count;

    pthread_mutex_lock(&lock);
    count = listener->dirty_count < 64 ? listener->dirty_count : 64;
    memcpy(dirty, listener->dirty, count * sizeof *dirty);
    listener->dirty_count -= count;
    memmove(listener->dirty, listener->dirty + count, listener->dirty_count * sizeof *dirty);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++)
        add_host_update(listener, dirty[i].host);
    for (size_t i = 0; i < listener->tail_count; i++)
        if (listener->tails[i].due) {
            listener->tails[i].due = false;
            add_tail(listener, &listener->tails[i]);
        }
    if (!listener->out.size && monotonic_ms() >= listener->quiet_until_ms)
        text_puts(&listener->out, ": keepalive\n\n");
}

static bool nothing_to_tell(const struct listener *listener)
{
    for (size_t i = 0; i < listener->tail_count; i++)
        if (listener->tails[i].due)
            return false;
    return listener->dirty_count == 0;
}

static ssize_t more(void *context, uint64_t position, char *bytes, size_t max)
{
    struct listener *listener = context;
    size_t size;

    (void)position;
    if (listener->sent == listener->out.size) {
        listener->out.size = listener->sent = 0;
        build(listener);
    }
    if (listener->out.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!listener->out.size) {
        pthread_mutex_lock(&lock);
        if (nothing_to_tell(listener)) { /* else it came in between: asked again at once */
            listener->suspended = true;
            MHD_suspend_connection(listener->connection);
        }
        pthread_mutex_unlock(&lock);
        return 0;
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

    pthread_mutex_lock(&lock);
    for (struct listener **at = &listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    text_free(&listener->out);
    free(listener);
}

static void follow(struct listener *listener, const char *runs, const char *last_id)
{
    while (runs && *runs && listener->tail_count < RUNS_MAX) {
        size_t length = strcspn(runs, ",");
        struct tail *tail = &listener->tails[listener->tail_count];
        char id[RUN_ID_SIZE];

        snprintf(id, sizeof id, "%.*s", (int)(length < sizeof id ? length : sizeof id - 1), runs);
        if (live_tail(listener->server->store, tail, id, 0)) {
            if (last_id && *last_id) { /* it has everything up to that version */
                struct run_view view;

                tail->version = strtoll(last_id, NULL, 10);
                if (run_view(listener->server->store, id, &view))
                    tail->next = view.lines;
            }
            listener->tail_count++;
        }
        runs += length + (runs[length] == ',');
    }
}

void get_events(struct request *request)
{
    struct listener *listener = calloc(1, sizeof *listener);
    struct MHD_Response *response;

    if (!listener) {
        answer_detail(request, 503, "No room for another channel");
        return;
    }
    listener->server = request->server;
    listener->connection = request->connection;
    text_printf(&listener->out, "event: connected\ndata: {\"clients\": %zu}\n\n",
                live_count(request->server->live) + 1);
    follow(listener, request_query(request, "runs"), request_header(request, "Last-Event-ID"));
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, more, listener, forget);
    if (!response) {
        text_free(&listener->out);
        free(listener);
        answer_detail(request, 503, "No room for another channel");
        return;
    }
    pthread_mutex_lock(&lock);
    listener->next = listeners;
    listeners = listener;
    pthread_mutex_unlock(&lock);
    request->answer.status = 200;
    request->answer.type = "text/event-stream; charset=utf-8";
    request->answer.response = response;
}
