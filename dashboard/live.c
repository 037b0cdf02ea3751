/* The thread behind /api/ws. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "../common/io.h"
#include "lines.h"
#include "runs.h"
#include "server.h"

#define TAILS_MAX 16 /* logs that one page follows */
#define PING_MS 15000
#define TICK_MS 1000 /* how often states that change by the clock are looked for */
#define SPLICE_LINES 2000
#define SPLICE_BYTES ((size_t)512 << 10)
#define MESSAGE_MAX 4096 /* of what a page may send */
#define CLIENTS_MAX 2000

struct client {
    struct client *next;
    int socket;
    struct MHD_UpgradeResponseHandle *handle;
    wslay_event_context_ptr ws;
    struct live *live;
    char csrf[65];
    char *early; /* bytes that came with the request */
    size_t early_size, early_taken;
    bool hosts, greeted, closing;
    struct tail tails[TAILS_MAX];
    size_t tail_count;
    struct change *dirty; /* hosts and runs that changed and are not told yet, none twice */
    size_t dirty_count, dirty_room;
    int64_t ping_ms;
};

struct live {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock; /* over the two lists that other threads add to */
    struct client *arrivals;
    struct change *changes;
    size_t change_count, change_room;
    bool stopping;
    int wake[2];
    struct client *clients;
    size_t count;
    int64_t tick_ms, ticked_wall_ms;
};

static void wake(struct live *live)
{
    if (write(live->wake[1], "w", 1) < 0) {
        /* full: it is awake */
    }
}

/* ---- from other threads ---- */

static void on_changes(void *context, const struct change *changes, size_t count)
{
    struct live *live = context;

    pthread_mutex_lock(&live->lock);
    if (live->change_count + count > live->change_room) {
        size_t room = (live->change_count + count) * 2;
        struct change *grown = realloc(live->changes, room * sizeof *grown);

        if (!grown)
            count = 0; /* the next change of the same host tells all */
        else {
            live->changes = grown;
            live->change_room = room;
        }
    }
    if (count)
        memcpy(live->changes + live->change_count, changes, count * sizeof *changes);
    live->change_count += count;
    pthread_mutex_unlock(&live->lock);
    wake(live);
}

void live_add(struct live *live, int socket, const char *csrf,
              struct MHD_UpgradeResponseHandle *handle, const char *extra, size_t extra_size)
{
    struct client *client = calloc(1, sizeof *client);

    if (!client) {
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    client->socket = socket;
    client->handle = handle;
    client->live = live;
    snprintf(client->csrf, sizeof client->csrf, "%s", csrf);
    if (extra_size && (client->early = malloc(extra_size))) {
        memcpy(client->early, extra, extra_size);
        client->early_size = extra_size;
    }
    pthread_mutex_lock(&live->lock);
    client->next = live->arrivals;
    live->arrivals = client;
    pthread_mutex_unlock(&live->lock);
    wake(live);
}

size_t live_count(struct live *live)
{
    return live ? __atomic_load_n(&live->count, __ATOMIC_RELAXED) : 0;
}

/* ---- messages ---- */

static void send_text(struct client *client, struct text *text)
{
    struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text->bytes, text->size};

    if (!text->failed && text->size && wslay_event_queue_msg(client->ws, &message) != 0)
        client->closing = true;
    text_free(text);
}

static void send_error(struct client *client, const char *error)
{
    struct text out = {0};

    text_puts(&out, "{");
    text_key_json(&out, "type", "error");
    text_key_json(&out, "error", error);
    text_puts(&out, "}");
    send_text(client, &out);
}

void live_hello(struct server *server, const char *csrf, struct text *out)
{
    text_puts(out, "{");
    text_key_json(out, "type", "hello");
    text_key_json(out, "version", VERSION);
    text_key_int(out, "now", wall_ms());
    text_key_raw(out, "dev", server->dev ? "true" : "false");
    text_key_json(out, "csrf", csrf);
    text_key_raw(out, "target", NULL);
    text_puts(out, "}");
}

static void send_hosts(struct client *client)
{
    struct text out = {0};

    text_printf(&out, "{\"type\":\"hosts\",\"now\":%lld,\"hosts\":[", (long long)wall_ms());
    hosts_json(client->live->server->store, NULL, wall_ms(), &out);
    text_puts(&out, "]}");
    send_text(client, &out);
}

static void send_host(struct client *client, const char *host)
{
    struct text out = {0}, body = {0};

    if (hosts_json(client->live->server->store, host, wall_ms(), &body)) {
        text_puts(&out, "{\"type\":\"host\",\"host\":");
        text_add(&out, body.bytes, body.size);
        text_puts(&out, "}");
    } else {
        text_puts(&out, "{\"type\":\"host_gone\"");
        text_key_json(&out, "id", host);
        text_puts(&out, "}");
    }
    text_free(&body);
    send_text(client, &out);
}

static void send_run(struct client *client, const char *run)
{
    struct text out = {0}, body = {0};

    if (run_json(client->live->server->store, NULL, run, wall_ms(), &body)) {
        text_puts(&out, "{\"type\":\"run\",\"run\":");
        text_add(&out, body.bytes, body.size);
        text_puts(&out, "}");
    }
    text_free(&body);
    send_text(client, &out);
}

static bool build_splice(struct store *store, struct tail *tail, struct text *out)
{
    int64_t newest = tail->version,
            changed = lines_changed_since(store, tail->k, tail->version, &newest),
            from = tail->next, end;
    struct run_view view;

    if (!run_view(store, tail->run, &view))
        return false;
    if (changed >= 0 && changed < from)
        from = changed;
    if (changed < 0 && from >= view.lines)
        return false;
    text_puts(out, "{");
    text_key_json(out, "type", "splice");
    text_key_json(out, "host", tail->host);
    text_key_json(out, "run", tail->run);
    if (!lines_window(store, tail->k, from, SPLICE_LINES, SPLICE_BYTES, out, &end)) {
        out->size = 0;
        return false;
    }
    text_key_int(out, "total", view.lines);
    text_key(out, "gaps");
    lines_gaps(store, tail->k, out);
    text_puts(out, "}");
    tail->next = end;
    tail->version = newest;
    tail->due = end < view.lines; /* more than one message takes */
    return true;
}

bool live_splice(struct store *store, struct tail *tail, struct text *out)
{
    bool told;

    store_snapshot(store);
    told = build_splice(store, tail, out);
    store_snapshot_end(store);
    return told;
}

bool live_tail(struct store *store, struct tail *tail, const char *run, int64_t from)
{
    struct run_view view;

    if (!run_view(store, run, &view) || view.deleted)
        return false;
    memset(tail, 0, sizeof *tail);
    snprintf(tail->run, sizeof tail->run, "%s", run);
    snprintf(tail->host, sizeof tail->host, "%s", view.host);
    tail->k = view.k;
    tail->next = from >= 0 ? from : view.lines + from < 0 ? 0 : view.lines + from;
    lines_changed_since(store, view.k, 0, &tail->version);
    tail->due = true;
    return true;
}

/* ---- what a page says ---- */

static struct tail *find_tail(struct client *client, const char *run)
{
    for (size_t i = 0; i < client->tail_count; i++)
        if (strcmp(client->tails[i].run, run) == 0)
            return &client->tails[i];
    return NULL;
}

static void start_tail(struct client *client, const char *run, int64_t from)
{
    struct tail *tail = find_tail(client, run), fresh;

    if (!live_tail(client->live->server->store, &fresh, run, from))
        send_error(client, "there is no such run");
    else if (tail)
        *tail = fresh;
    else if (client->tail_count == TAILS_MAX)
        send_error(client, "too many logs are followed");
    else
        client->tails[client->tail_count++] = fresh;
}

static void stop_tail(struct client *client, const char *run)
{
    struct tail *tail = find_tail(client, run);

    if (tail)
        *tail = client->tails[--client->tail_count];
}

static void on_message(wslay_event_context_ptr ws,
                       const struct wslay_event_on_msg_recv_arg *message, void *context)
{
    struct client *client = context;
    const char *why = NULL, *op = "", *run = NULL;
    json_object *object;
    int64_t from = -500;

    (void)ws;
    if (wslay_is_ctrl_frame(message->opcode))
        return;
    object = body_parse((const char *)message->msg, message->msg_length, &why);
    if (object) {
        field_string(object, "op", &op, &why);
        field_string(object, "run", &run, &why);
        field_int(object, "from", &from, &why);
    }
    if (why)
        send_error(client, "the message was not understood");
    else if (strcmp(op, "subscribe") == 0) {
        client->hosts = true;
        send_hosts(client);
    } else if (strcmp(op, "tail") == 0 && run && strlen(run) == RUN_ID_SIZE - 1)
        start_tail(client, run, from);
    else if (strcmp(op, "untail") == 0 && run)
        stop_tail(client, run);
    else if (strcmp(op, "pong") != 0)
        send_error(client, "the message was not understood");
    json_object_put(object);
}

static ssize_t on_receive(wslay_event_context_ptr ws, uint8_t *out, size_t size, int flags,
                          void *context)
{
    struct client *client = context;
    ssize_t n;

    (void)flags;
    if (client->early_taken < client->early_size) {
        n = (ssize_t)(client->early_size - client->early_taken < size
                          ? client->early_size - client->early_taken
                          : size);
        memcpy(out, client->early + client->early_taken, (size_t)n);
        client->early_taken += (size_t)n;
        return n;
    }
    do
        n = recv(client->socket, out, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n == 0)
        client->closing = true;
    wslay_event_set_error(ws, n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)
                                  ? WSLAY_ERR_WOULDBLOCK
                                  : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *bytes, size_t size, int flags,
                       void *context)
{
    struct client *client = context;
    ssize_t n;

    (void)flags;
    do
        n = send(client->socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        wslay_event_set_error(ws, errno == EAGAIN || errno == EWOULDBLOCK
                                      ? WSLAY_ERR_WOULDBLOCK
                                      : WSLAY_ERR_CALLBACK_FAILURE);
    return n;
}

/* ---- clients ---- */

static bool client_open(struct client *client)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive, .send_callback = on_send, .on_msg_recv_callback = on_message};
    struct text out = {0};

    if (wslay_event_context_server_init(&client->ws, &callbacks, client) != 0)
        return false;
    wslay_event_config_set_max_recv_msg_length(client->ws, MESSAGE_MAX);
    fcntl(client->socket, F_SETFL, fcntl(client->socket, F_GETFL) | O_NONBLOCK);
    live_hello(client->live->server, client->csrf, &out);
    send_text(client, &out);
    client->ping_ms = monotonic_ms() + PING_MS;
    return true;
}

static void client_close(struct client *client)
{
    if (client->ws)
        wslay_event_context_free(client->ws);
    MHD_upgrade_action(client->handle, MHD_UPGRADE_ACTION_CLOSE);
    free(client->early);
    free(client->dirty);
    free(client);
}

static void note_dirty(struct client *client, const struct change *change)
{
    for (size_t i = 0; i < client->dirty_count; i++)
        if (strcmp(client->dirty[i].host, change->host) == 0 &&
            strcmp(client->dirty[i].run, change->run) == 0)
            return;
    if (client->dirty_count == client->dirty_room) {
        size_t room = client->dirty_room ? client->dirty_room * 2 : 16;
        struct change *grown = realloc(client->dirty, room * sizeof *grown);

        if (!grown)
            return;
        client->dirty = grown;
        client->dirty_room = room;
    }
    client->dirty[client->dirty_count++] = *change;
}

static void note_change(struct client *client, const struct change *change)
{
    struct tail *tail = change->run[0] ? find_tail(client, change->run) : NULL;

    if (tail)
        tail->due = true;
    if (client->hosts || tail)
        note_dirty(client, change);
}

/* Tells a client that can take it what it has not seen: states first, then lines, one message of
 * each log at a time. */
static void client_feed(struct client *client)
{
    if (wslay_event_want_write(client->ws))
        return; /* it still has something to read */
    for (size_t i = 0; i < client->dirty_count; i++) {
        if (client->hosts)
            send_host(client, client->dirty[i].host);
        if (client->dirty[i].run[0] && find_tail(client, client->dirty[i].run))
            send_run(client, client->dirty[i].run);
    }
    client->dirty_count = 0;
    for (size_t i = 0; i < client->tail_count; i++)
        if (client->tails[i].due) {
            struct text out = {0};

            client->tails[i].due = false;
            live_splice(client->live->server->store, &client->tails[i], &out);
            send_text(client, &out);
        }
    if (monotonic_ms() >= client->ping_ms) {
        struct text out = {0};

        text_printf(&out, "{\"type\":\"ping\",\"now\":%lld}", (long long)wall_ms());
        send_text(client, &out);
        client->ping_ms = monotonic_ms() + PING_MS;
    }
}

static bool client_more(const struct client *client)
{
    for (size_t i = 0; i < client->tail_count; i++)
        if (client->tails[i].due)
            return true;
    return client->dirty_count > 0;
}

static void client_serve(struct client *client, short events)
{
    if ((events & (POLLIN | POLLHUP | POLLERR) || client->early_taken < client->early_size) &&
        wslay_event_recv(client->ws) != 0)
        client->closing = true;
    if (!client->closing)
        client_feed(client);
    if (!client->closing && wslay_event_want_write(client->ws) && wslay_event_send(client->ws) != 0)
        client->closing = true;
    if (wslay_event_get_close_received(client->ws))
        client->closing = true;
}

/* ---- the thread ---- */

static void take_arrivals(struct live *live)
{
    struct client *arrivals;

    pthread_mutex_lock(&live->lock);
    arrivals = live->arrivals;
    live->arrivals = NULL;
    pthread_mutex_unlock(&live->lock);
    while (arrivals) {
        struct client *client = arrivals;

        arrivals = client->next;
        if (live->count >= CLIENTS_MAX || !client_open(client)) {
            client_close(client);
            continue;
        }
        client->next = live->clients;
        live->clients = client;
        live->count++;
    }
}

static void spread_changes(struct live *live)
{
    struct change *changes;
    size_t count;

    pthread_mutex_lock(&live->lock);
    changes = live->changes;
    count = live->change_count;
    live->changes = NULL;
    live->change_count = live->change_room = 0;
    pthread_mutex_unlock(&live->lock);
    for (size_t i = 0; i < count; i++) {
        for (struct client *client = live->clients; client; client = client->next)
            note_change(client, &changes[i]);
        sse_change(live->server, &changes[i]);
    }
    free(changes);
}

/* Hosts whose state the clock has changed since the last look. */
static void tick(struct live *live)
{
    int64_t now = wall_ms();
    sqlite3_stmt *find;

    if (monotonic_ms() < live->tick_ms)
        return;
    live->tick_ms = monotonic_ms() + TICK_MS;
    sse_tick(live->server);
    find = store_prepare(live->server->store,
                         "SELECT id, run FROM hosts WHERE changes_at>?1 AND changes_at<=?2");
    if (find)
        statement_bind(find, "ii", live->ticked_wall_ms, now);
    while (find && sqlite3_step(find) == SQLITE_ROW) {
        struct change change = {0};

        snprintf(change.host, sizeof change.host, "%s", column_text(find, 0));
        snprintf(change.run, sizeof change.run, "%s",
                 column_text(find, 1) ? column_text(find, 1) : "");
        for (struct client *client = live->clients; client; client = client->next)
            note_change(client, &change);
        sse_change(live->server, &change);
    }
    sqlite3_finalize(find);
    live->ticked_wall_ms = now;
}

static void drop_closed(struct live *live)
{
    for (struct client **at = &live->clients; *at;) {
        struct client *client = *at;

        if (!client->closing) {
            at = &client->next;
            continue;
        }
        *at = client->next;
        live->count--;
        client_close(client);
    }
}

static bool more_to_do(const struct live *live)
{
    for (struct client *client = live->clients; client; client = client->next)
        if (!wslay_event_want_write(client->ws) && client_more(client))
            return true;
    return false;
}

static void *run(void *context)
{
    struct live *live = context;
    struct pollfd *polls = NULL;
    size_t room = 0;

    live->ticked_wall_ms = wall_ms();
    while (!__atomic_load_n(&live->stopping, __ATOMIC_ACQUIRE)) {
        char drain[256];
        size_t n = 1;

        if (room < live->count + 1) {
            struct pollfd *grown = realloc(polls, (live->count + 64) * sizeof *grown);

            if (!grown)
                break;
            polls = grown;
            room = live->count + 64;
        }
        polls[0] = (struct pollfd){.fd = live->wake[0], .events = POLLIN};
        for (struct client *client = live->clients; client; client = client->next)
            polls[n++] = (struct pollfd){
                .fd = client->socket,
                .events = (short)(POLLIN | (wslay_event_want_write(client->ws) ? POLLOUT : 0))};
        if (poll(polls, n, more_to_do(live) ? 0 : TICK_MS) < 0 && errno != EINTR)
            break;
        while (read(live->wake[0], drain, sizeof drain) > 0)
            ;
        spread_changes(live);
        tick(live);
        n = 1;
        for (struct client *client = live->clients; client; client = client->next)
            client_serve(client, polls[n++].revents);
        drop_closed(live);
        take_arrivals(live);
        for (struct client *client = live->clients; client; client = client->next)
            if (!client->greeted) {
                client->greeted = true;
                client_serve(client, 0);
            }
    }
    free(polls);
    return NULL;
}

struct live *live_start(struct server *server)
{
    struct live *live = calloc(1, sizeof *live);

    if (!live)
        return NULL;
    live->server = server;
    pthread_mutex_init(&live->lock, NULL);
    if (pipe2(live->wake, O_CLOEXEC | O_NONBLOCK) < 0 ||
        pthread_create(&live->thread, NULL, run, live) != 0) {
        free(live);
        return NULL;
    }
    store_watch(server->store, on_changes, live);
    return live;
}

void live_stop(struct live *live)
{
    if (!live)
        return;
    __atomic_store_n(&live->stopping, true, __ATOMIC_RELEASE);
    wake(live);
    pthread_join(live->thread, NULL);
    take_arrivals(live);
    for (struct client *client = live->clients; client; client = client->next)
        client->closing = true;
    drop_closed(live);
    close(live->wake[0]);
    close(live->wake[1]);
    free(live->changes);
    free(live);
}
