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
#define MESSAGE_MAX 16384 /* bytes of a message from a page: VIEW_MAX names */
/* Bytes that are read from a page before something is written to it: each ping in them queues a
 * pong. */
#define READ_MAX ((size_t)16 << 10)
#define STUCK_MS 60000 /* a page that has accepted nothing for this long is gone */

/* ---- messages to a page ---- */

/* A page that lacks a message would show an old state as the present one. So the page is closed if
 * a message cannot be sent. The page connects again and reads everything. */
static void send_text(struct page *page, struct text *text)
{
    struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text->bytes, text->size};

    if (text->failed || (text->size && wslay_event_queue_msg(page->ws, &message) != 0))
        page->closing = true;
    text_free(text);
}

static void send_hello(struct page *page)
{
    struct text out = {0};

    text_puts(&out, "{");
    text_key_json(&out, "type", "hello");
    text_key_json(&out, "version", VERSION);
    text_key_int(&out, "now", store_now_ms(page->server->store));
    text_key_raw(&out, "dev", page->server->dev ? "true" : "false");
    text_key_json(&out, "csrf", page->csrf);
    text_key(&out, "target");
    page->target = target_version(page->server->target);
    target_json(page->server->target, &out);
    text_puts(&out, "}");
    send_text(page, &out);
}

static void send_error(struct page *page, const char *error)
{
    struct text out = {0};

    text_puts(&out, "{");
    text_key_json(&out, "type", "error");
    text_key_json(&out, "error", error);
    text_puts(&out, "}");
    send_text(page, &out);
}

/* Sends a message that other pages get, too: in one frame and without a copy. Until it is sent, the
 * page sends nothing else. Takes over the caller's reference. */
static void send_message(struct page *page, struct message *message)
{
    page->sending = message;
    page->begun = false;
    page->sent = 0;
}

/* False: the socket does not accept all of it now. */
static bool send_frame(struct page *page)
{
    const struct text *text = &page->sending->text;
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .opcode = WSLAY_TEXT_FRAME,
                                     .payload_length = text->size,
                                     .data = (const uint8_t *)text->bytes + page->sent,
                                     .data_length = text->size - page->sent};
    ssize_t n = wslay_frame_send(page->frames, &frame);

    page->begun = true;
    if (n < 0 && n != WSLAY_ERR_WANT_WRITE)
        page->closing = true;
    page->sent += n > 0 ? (size_t)n : 0;
    if (n < 0 || page->sent < text->size)
        return false;
    message_release(page->sending);
    page->sending = NULL;
    return true;
}

/* Whether the page has not accepted all messages yet. */
static bool is_sending(const struct page *page)
{
    return page->sending || wslay_event_want_write(page->ws);
}

/* ---- messages from a page ---- */

static struct follower *find_follower(struct page *page, const char *run)
{
    for (size_t i = 0; i < page->follower_count; i++)
        if (strcmp(page->followers[i].run, run) == 0)
            return &page->followers[i];
    return NULL;
}

static void start_follower(struct page *page, const char *run, int64_t from)
{
    struct follower *follower = find_follower(page, run), fresh;
    int found = follower_start(page->server->store, &fresh, run, from);

    if (found < 0)
        page->closing = true;
    else if (!found)
        send_error(page, "there is no such run");
    else if (follower)
        *follower = fresh;
    else if (page->follower_count == FOLLOWERS_MAX)
        send_error(page, "too many logs are followed");
    else
        page->followers[page->follower_count++] = fresh;
}

static void stop_follower(struct page *page, const char *run)
{
    struct follower *follower = find_follower(page, run);

    if (follower)
        *follower = page->followers[--page->follower_count];
}

static void on_message(wslay_event_context_ptr ws,
                       const struct wslay_event_on_msg_recv_arg *message, void *context)
{
    struct page *page = context;
    const char *why = NULL, *op = "", *run = NULL;
    struct json_problem problem;
    json_object *object, *seen = NULL;
    int64_t from = -500;

    (void)ws;
    if (wslay_is_ctrl_frame(message->opcode))
        return;
    object = body_parse((const char *)message->msg, message->msg_length, &problem);
    if (object) {
        field_string(object, "op", &op, &why);
        field_string(object, "run", &run, &why);
        field_int(object, "from", &from, &why);
        field_typed(object, "hosts", json_type_array, &seen, &why);
    }
    if (!object && problem.no_memory)
        page->closing = true; /* the page connects again, and repeats its lost request */
    else if (!object || why)
        send_error(page, "the message was not understood");
    else if (strcmp(op, "subscribe") == 0) {
        page->hosts = true;
        page->has_hosts = false;
        view_clear(&page->view);
    } else if (strcmp(op, "view") == 0 && seen && view_set(&page->view, seen)) {
        /* feed_view sends what has changed on these hosts */
    } else if (strcmp(op, "tail") == 0 && run && strlen(run) == RUN_ID_SIZE - 1)
        start_follower(page, run, from);
    else if (strcmp(op, "untail") == 0 && run)
        stop_follower(page, run);
    else if (strcmp(op, "pong") != 0)
        send_error(page, "the message was not understood");
    json_object_put(object);
}

/* ---- the socket ---- */

static ssize_t on_receive(wslay_event_context_ptr ws, uint8_t *out, size_t size, int flags,
                          void *context)
{
    struct page *page = context;
    size_t early = page->early_size - page->early_taken;
    ssize_t n;

    (void)flags;
    if (early) {
        early = early < size ? early : size;
        memcpy(out, page->early + page->early_taken, early);
        page->early_taken += early;
        return (ssize_t)early;
    }
    if (page->read >= READ_MAX) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    do
        n = recv(page->socket, out, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        page->read += (size_t)n;
        return n;
    }
    if (n == 0)
        page->closing = true;
    wslay_event_set_error(ws, n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)
                                  ? WSLAY_ERR_WOULDBLOCK
                                  : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t write_bytes(struct page *page, const uint8_t *bytes, size_t size, int flags)
{
    ssize_t n;

    do
        n = send(page->socket, bytes, size,
                 MSG_DONTWAIT | MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));
    while (n < 0 && errno == EINTR);
    if (n > 0)
        page->taken_ms = monotonic_ms();
    return n;
}

/* A part of a shared message. */
static ssize_t on_frame(const uint8_t *bytes, size_t size, int flags, void *context)
{
    struct page *page = context;
    ssize_t n = write_bytes(page, bytes, size, flags);

    page->closing |= n < 0 && errno != EAGAIN && errno != EWOULDBLOCK;
    return n;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *bytes, size_t size, int flags,
                       void *context)
{
    ssize_t n = write_bytes(context, bytes, size, flags);

    if (n < 0)
        wslay_event_set_error(ws, errno == EAGAIN || errno == EWOULDBLOCK
                                      ? WSLAY_ERR_WOULDBLOCK
                                      : WSLAY_ERR_CALLBACK_FAILURE);
    return n;
}

/* ---- opening, serving, closing ---- */

struct page *page_new(struct server *server, struct host_messages *messages, int socket,
                      const struct caller *caller, const char *csrf, const char *extra,
                      size_t extra_size)
{
    struct page *page = calloc(1, sizeof *page);

    if (!page || (extra_size && !(page->early = malloc(extra_size)))) {
        free(page);
        return NULL;
    }
    page->server = server;
    page->messages = messages;
    page->socket = socket;
    page->caller = *caller;
    strlcpy(page->csrf, csrf, sizeof page->csrf);
    if (extra_size)
        memcpy(page->early, extra, extra_size);
    page->early_size = extra_size;
    return page;
}

bool page_open(struct page *page)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive, .send_callback = on_send, .on_msg_recv_callback = on_message};
    static const struct wslay_frame_callbacks frame_callbacks = {.send_callback = on_frame};

    if (wslay_frame_context_init(&page->frames, &frame_callbacks, page) != 0) {
        page->frames = NULL;
        return false;
    }
    if (wslay_event_context_server_init(&page->ws, &callbacks, page) != 0) {
        page->ws = NULL; /* wslay has freed it already, and leaves the pointer */
        return false;
    }
    wslay_event_config_set_max_recv_msg_length(page->ws, MESSAGE_MAX);
    fcntl(page->socket, F_SETFL, fcntl(page->socket, F_GETFL) | O_NONBLOCK);
    send_hello(page);
    page->taken_ms = monotonic_ms();
    page->ping_ms = page->taken_ms + PING_MS;
    return true;
}

void page_free(struct page *page)
{
    if (page->ws)
        wslay_event_context_free(page->ws);
    if (page->frames)
        wslay_frame_context_free(page->frames);
    message_release(page->sending);
    view_clear(&page->view);
    free(page->early);
    free(page);
}

static void feed_hosts(struct page *page)
{
    struct message *message = NULL;
    bool built = true;

    if (!page->hosts)
        return;
    if (!page->has_hosts) {
        built = (message = host_messages_all(page->messages, &page->seen));
        page->seen_states = page->seen;
    } else if (page->view.known) {
        built = host_messages_states_since(page->messages, &page->seen_states, &message);
    } else {
        built = host_messages_since(page->messages, &page->seen, &message);
    }
    page->has_hosts = true;
    page->closing |= !built;
    send_message(page, message);
}

static void feed_view(struct page *page)
{
    struct text out = {0};

    if (page->has_hosts &&
        view_message(&page->view, page->messages->hosts, page->messages->texts, &out))
        send_text(page, &out);
    text_free(&out);
}

static void send_lines(struct page *page, struct follower *follower)
{
    struct text run = {0}, lines = {0};
    int changed = follower->changed ? follower_run(page->server->store, follower, &run) : 0;
    int built = follower->due ? follower_splice(page->server->store, follower, &lines) : 0;

    follower->changed = false;
    page->closing |= changed < 0 || built < 0;
    if (changed > 0)
        send_text(page, &run);
    if (built > 0)
        send_text(page, &lines);
    text_free(&run);
    text_free(&lines);
}

static void feed_target(struct page *page)
{
    uint64_t version = target_version(page->server->target);
    struct text out = {0};

    if (page->target == version)
        return;
    page->target = version;
    text_puts(&out, "{\"type\":\"target\",\"target\":");
    target_json(page->server->target, &out);
    text_puts(&out, "}");
    send_text(page, &out);
}

static void feed_ping(struct page *page)
{
    struct text out = {0};

    if (monotonic_ms() < page->ping_ms)
        return;
    text_printf(&out, "{\"type\":\"ping\",\"now\":%lld}",
                (long long)store_now_ms(page->server->store));
    send_text(page, &out);
    page->ping_ms = monotonic_ms() + PING_MS;
}

/* When the socket has accepted all earlier messages, builds the next ones. Lines come first,
 * because a person reads them: one message for each log. Hosts come next. The hosts in view come
 * last, because their text is newer. */
static void feed(struct page *page)
{
    if (is_sending(page))
        return;
    for (size_t i = 0; i < page->follower_count; i++)
        send_lines(page, &page->followers[i]);
    feed_target(page);
    feed_ping(page);
    feed_hosts(page);
    if (!page->sending)
        feed_view(page);
}

int page_pause_ms(const struct page *page)
{
    struct change_feed *feed = page->messages->hosts;

    if (is_sending(page))
        return -1;
    for (size_t i = 0; i < page->follower_count; i++)
        if (page->followers[i].due || page->followers[i].changed)
            return 0;
    if (!page->hosts)
        return -1;
    if (!page->view.known)
        return page->seen < change_feed_newest(feed) ? 0 : -1;
    return page->seen_states < change_feed_newest_state(feed) ? 0
                                                              : view_pause_ms(&page->view, feed);
}

bool page_wants_to_read(const struct page *page)
{
    return !is_sending(page);
}

/* While a page does not accept messages, nothing is read from the page. Otherwise its pings could
 * queue an unlimited number of pongs. */
static void serve_input(struct page *page, bool readable)
{
    page->read = 0;
    if ((readable || page->early_taken < page->early_size) && page_wants_to_read(page) &&
        wslay_event_recv(page->ws) != 0)
        page->closing = true;
}

/* First finishes a frame that was begun. A shared message begins when all earlier messages are
 * sent. */
static void write_messages(struct page *page)
{
    if (page->sending && page->begun && !send_frame(page))
        return;
    if (wslay_event_want_write(page->ws) && wslay_event_send(page->ws) != 0)
        page->closing = true;
    if (page->sending && !page->closing && !wslay_event_want_write(page->ws))
        (void)send_frame(page);
}

static void serve_output(struct page *page)
{
    if (!is_sending(page)) {
        page->taken_ms = monotonic_ms();
        return;
    }
    write_messages(page);
    page->closing |= monotonic_ms() - page->taken_ms > STUCK_MS;
}

void page_serve(struct page *page, bool readable)
{
    if (page->closing)
        return;
    serve_input(page, readable);
    if (!page->closing)
        feed(page);
    if (!page->closing)
        serve_output(page);
    if (wslay_event_get_close_received(page->ws))
        page->closing = true;
}
