#include "dashboard/live/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/io.h"
#include "dashboard/server/http.h"
#include "dashboard/fleet/target.h"

#define PING_MS 15000
#define MESSAGE_MAX 4096 /* of what a page may send */
/* Read of a page before it is written to: each ping in it queues a pong. */
#define READ_MAX ((size_t)16 << 10)
#define STUCK_MS 60000 /* a page that has taken nothing for so long is gone */

/* ---- what is sent ---- */

static void send_text(struct client *client, struct text *text)
{
    struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text->bytes, text->size};

    if (!text->failed && text->size && wslay_event_queue_msg(client->ws, &message) != 0)
        client->closing = true;
    text_free(text);
}

static void send_hello(struct client *client)
{
    struct text out = {0};

    text_puts(&out, "{");
    text_key_json(&out, "type", "hello");
    text_key_json(&out, "version", VERSION);
    text_key_int(&out, "now", wall_ms());
    text_key_raw(&out, "dev", client->server->dev ? "true" : "false");
    text_key_json(&out, "csrf", client->csrf);
    text_key(&out, "target");
    client->target = target_version(client->server->target);
    target_json(client->server->target, &out);
    text_puts(&out, "}");
    send_text(client, &out);
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

static ssize_t read_shared(wslay_event_context_ptr ws, uint8_t *out, size_t size,
                           const union wslay_event_msg_source *source, int *eof, void *context)
{
    struct client *client = context;
    const struct text *text = &client->sending->text;
    size_t part = text->size - client->sent < size ? text->size - client->sent : size;

    (void)ws, (void)source;
    memcpy(out, text->bytes + client->sent, part);
    client->sent += part;
    if (client->sent == text->size) {
        *eof = 1;
        shared_drop(client->sending);
        client->sending = NULL;
    }
    return (ssize_t)part;
}

/* Sends a message that others send, too, without a copy of it. One at a time. */
static void send_shared(struct client *client, struct shared *shared)
{
    struct wslay_event_fragmented_msg message = {WSLAY_TEXT_FRAME, {0}, read_shared};

    if (!shared)
        return;
    client->sending = shared;
    client->sent = 0;
    if (wslay_event_queue_fragmented_msg(client->ws, &message) != 0)
        client->closing = true;
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

    if (!tail_start(client->server->store, &fresh, run, from))
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
    struct json_problem problem;
    json_object *object;
    int64_t from = -500;

    (void)ws;
    if (wslay_is_ctrl_frame(message->opcode))
        return;
    object = body_parse((const char *)message->msg, message->msg_length, &problem);
    if (object) {
        field_string(object, "op", &op, &why);
        field_string(object, "run", &run, &why);
        field_int(object, "from", &from, &why);
    }
    if (!object && problem.no_memory)
        send_error(client, "out of memory");
    else if (!object || why)
        send_error(client, "the message was not understood");
    else if (strcmp(op, "subscribe") == 0) {
        client->hosts = true;
        client->has_hosts = false;
    } else if (strcmp(op, "tail") == 0 && run && strlen(run) == RUN_ID_SIZE - 1)
        start_tail(client, run, from);
    else if (strcmp(op, "untail") == 0 && run)
        stop_tail(client, run);
    else if (strcmp(op, "pong") != 0)
        send_error(client, "the message was not understood");
    json_object_put(object);
}

/* ---- the socket ---- */

static ssize_t on_receive(wslay_event_context_ptr ws, uint8_t *out, size_t size, int flags,
                          void *context)
{
    struct client *client = context;
    size_t early = client->early_size - client->early_taken;
    ssize_t n;

    (void)flags;
    if (early) {
        early = early < size ? early : size;
        memcpy(out, client->early + client->early_taken, early);
        client->early_taken += early;
        return (ssize_t)early;
    }
    if (client->read >= READ_MAX) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    do
        n = recv(client->socket, out, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        client->read += (size_t)n;
        return n;
    }
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
    if (n > 0)
        client->taken_ms = monotonic_ms();
    if (n < 0)
        wslay_event_set_error(ws, errno == EAGAIN || errno == EWOULDBLOCK
                                      ? WSLAY_ERR_WOULDBLOCK
                                      : WSLAY_ERR_CALLBACK_FAILURE);
    return n;
}

/* ---- a client's life ---- */

struct client *client_new(struct server *server, struct news *news, int socket,
                          const struct caller *caller, const char *csrf, const char *extra,
                          size_t extra_size)
{
    struct client *client = calloc(1, sizeof *client);

    if (!client || (extra_size && !(client->early = malloc(extra_size)))) {
        free(client);
        return NULL;
    }
    client->server = server;
    client->news = news;
    client->socket = socket;
    client->caller = *caller;
    strlcpy(client->csrf, csrf, sizeof client->csrf);
    if (extra_size)
        memcpy(client->early, extra, extra_size);
    client->early_size = extra_size;
    return client;
}

bool client_open(struct client *client)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive, .send_callback = on_send, .on_msg_recv_callback = on_message};

    if (wslay_event_context_server_init(&client->ws, &callbacks, client) != 0)
        return false;
    wslay_event_config_set_max_recv_msg_length(client->ws, MESSAGE_MAX);
    fcntl(client->socket, F_SETFL, fcntl(client->socket, F_GETFL) | O_NONBLOCK);
    send_hello(client);
    client->taken_ms = monotonic_ms();
    client->ping_ms = client->taken_ms + PING_MS;
    return true;
}

void client_free(struct client *client)
{
    if (client->ws)
        wslay_event_context_free(client->ws);
    shared_drop(client->sending);
    free(client->early);
    free(client);
}

static void feed_hosts(struct client *client)
{
    struct shared *message;

    if (!client->hosts)
        return;
    if (client->has_hosts) {
        send_shared(client, news_since(client->news, &client->seen));
    } else if ((message = news_all(client->news, &client->seen))) {
        client->has_hosts = true;
        send_shared(client, message);
    }
}

static void feed_tail(struct client *client, struct tail *tail)
{
    struct text run = {0}, lines = {0};

    if (tail->changed && tail_run(client->server->store, tail, &run))
        send_text(client, &run);
    tail->changed = false;
    if (tail->due && tail_splice(client->server->store, tail, &lines))
        send_text(client, &lines);
    text_free(&run);
    text_free(&lines);
}

static void feed_target(struct client *client)
{
    uint64_t version = target_version(client->server->target);
    struct text out = {0};

    if (client->target == version)
        return;
    client->target = version;
    text_puts(&out, "{\"type\":\"target\",\"target\":");
    target_json(client->server->target, &out);
    text_puts(&out, "}");
    send_text(client, &out);
}

static void feed_ping(struct client *client)
{
    struct text out = {0};

    if (monotonic_ms() < client->ping_ms)
        return;
    text_printf(&out, "{\"type\":\"ping\",\"now\":%lld}", (long long)wall_ms());
    send_text(client, &out);
    client->ping_ms = monotonic_ms() + PING_MS;
}

/* Tells a page that has taken all before what it has not been told: lines first, which somebody
 * reads, one message of each log; then hosts. */
static void feed(struct client *client)
{
    if (wslay_event_want_write(client->ws))
        return;
    for (size_t i = 0; i < client->tail_count; i++)
        feed_tail(client, &client->tails[i]);
    feed_hosts(client);
    feed_target(client);
    feed_ping(client);
}

bool client_wants_more(const struct client *client)
{
    if (wslay_event_want_write(client->ws))
        return false;
    for (size_t i = 0; i < client->tail_count; i++)
        if (client->tails[i].due || client->tails[i].changed)
            return true;
    return client->hosts && client->seen < hostlog_newest(client->news->hosts);
}

bool client_wants_to_read(const struct client *client)
{
    return !wslay_event_want_write(client->ws);
}

/* A page that does not take what it is sent is not read either, so that its pings cannot queue
 * pongs without a bound. */
static void serve_input(struct client *client, bool readable)
{
    client->read = 0;
    if ((readable || client->early_taken < client->early_size) && client_wants_to_read(client) &&
        wslay_event_recv(client->ws) != 0)
        client->closing = true;
}

static void serve_output(struct client *client)
{
    if (!wslay_event_want_write(client->ws)) {
        client->taken_ms = monotonic_ms();
        return;
    }
    if (wslay_event_send(client->ws) != 0 || monotonic_ms() - client->taken_ms > STUCK_MS)
        client->closing = true;
}

void client_serve(struct client *client, bool readable)
{
    if (client->closing)
        return;
    serve_input(client, readable);
    if (!client->closing)
        feed(client);
    if (!client->closing)
        serve_output(client);
    if (wslay_event_get_close_received(client->ws))
        client->closing = true;
}
