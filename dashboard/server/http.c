/* Handles requests, which libmicrohttpd passes on in pieces. Only this file knows how. */
#include "dashboard/server/http.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/heap.h"
#include "common/io.h"
#include "dashboard/server/connections.h"
#include "dashboard/server/framing.h"
#include "dashboard/server/server.h"

#define CONNECTIONS_MAX 40000
#define CONNECTION_MEMORY (10 * 1024) /* bytes for the headers of a connection */
#define IDLE_SECONDS 75               /* without a byte in either direction */
#define HEADER_MS 100000              /* for a header, and the pause before it */
#define WORKER_HEAP ((size_t)4 << 20) /* bytes: a large body as text and as parsed JSON */
#define LARGE_BODY ((size_t)64 << 10) /* bytes */
#define REQUEST_MS 30000 /* from the first header to the end of the body; against slow senders */
#define RETRY_AFTER_S 5
/* bytes; such a body is accepted even if others use up BODIES_MAX */
#define SMALL_BODY ((size_t)4 << 10)
#define BODIES_MAX ((size_t)32 << 20)    /* bytes of all bodies that are being read or handled */
#define FORWARDED_SIZE CONNECTION_MEMORY /* longer than any header */
/* A body that is too large is read up to this size, and not stored. */
#define DISCARD_MAX (16 * BODY_MAX)

/* ---- reading a request ---- */

const char *request_query(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

int64_t request_number(const struct request *request, const char *name, int64_t low, int64_t high,
                       int64_t standard)
{
    const char *text = request_query(request, name);
    char *end;
    long long number;

    if (!text || !*text)
        return standard;
    number = strtoll(text, &end, 10);
    if (*end)
        return standard;
    return number < low ? low : number > high ? high : number;
}

/* libmicrohttpd aborts the process if it is stopped while a connection is suspended; a connection
 * that became a WebSocket must be returned before. So when the server ends, no new request begins,
 * and http_stop waits for those that are being handled or wait for the store. */
struct http {
    struct server *server;
    const struct http_app *app;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    pthread_mutex_t lock; /* protects active and stopping */
    pthread_cond_t none_active;
    size_t active; /* requests that are being handled, or suspended */
    bool stopping;
    atomic_size_t body_bytes; /* of all requests together */
};

/* Joins all X-Forwarded-For headers to one list, because a proxy may append its entry as a header
 * of its own. */
static enum MHD_Result join_forwarded(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    char *list = context;
    size_t size = strlen(list);

    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") == 0 && value)
        snprintf(list + size, FORWARDED_SIZE - size, "%s%s", size ? "," : "", value);
    return MHD_YES;
}

static const char *forwarded(const struct request *request, char list[FORWARDED_SIZE])
{
    list[0] = '\0';
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join_forwarded, list);
    return *list ? list : request_header(request, "X-Real-IP");
}

static void find_client(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct dashboard_settings *settings = request->settings;
    char list[FORWARDED_SIZE];
    struct address peer;

    strlcpy(request->address, "unknown", sizeof request->address);
    strlcpy(request->client, "unknown", sizeof request->client);
    if (!info || !address_of_socket(info->client_addr, &peer))
        return;
    if (settings->trust_proxy_headers &&
        (!settings->trusted_proxies || networks_hold(&settings->proxies, &peer)))
        peer = address_behind_proxies(&settings->proxies, &peer, forwarded(request, list));
    address_format(&peer, request->address);
    address_key(&peer, request->client);
}

static struct request *request_new(struct http *http, struct MHD_Connection *connection,
                                   const char *url, const char *method)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return NULL;
    request->http = http;
    request->server = http->server;
    request->connection = connection;
    request->method = method;
    request->path = framing_path(url);
    request->started_ms = monotonic_ms();
    request->body_max = BODY_MAX;
    request->holder = settings_hold(&http->server->settings);
    request->settings = settings_of(request->holder);
    connections_busy(http->connections, connection, true);
    find_client(request);
    return request;
}

/* ---- bodies ---- */

/* Sets the buffer size of a body, and counts the bytes of all bodies together. */
static void set_body_capacity(struct request *request, size_t capacity)
{
    if (capacity >= request->body_capacity)
        atomic_fetch_add(&request->http->body_bytes, capacity - request->body_capacity);
    else
        atomic_fetch_sub(&request->http->body_bytes, request->body_capacity - capacity);
    request->body_capacity = capacity;
}

static void drop_body(struct request *request)
{
    free(request->body);
    request->body = NULL;
    set_body_capacity(request, 0);
}

static void request_free(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = framing_target_odd(*state) ? NULL : *state;

    (void)code;
    connections_busy(((struct http *)context)->connections, connection, false);
    *state = NULL;
    if (!request)
        return;
    if (request->context && request->drop)
        request->drop(request->context);
    text_free(&request->answer.body);
    if (request->answer.response)
        MHD_destroy_response(request->answer.response);
    settings_release(request->holder);
    drop_body(request);
    free(request);
}

static void refuse(struct request *request)
{
    request->refused = true;
    drop_body(request);
}

static void refuse_size(struct request *request)
{
    answer_error(request, 413, "the body is over %zu %s",
                 request->body_max >= BODY_MAX ? request->body_max >> 20 : request->body_max >> 10,
                 request->body_max >= BODY_MAX ? "MiB" : "KiB");
    refuse(request);
}

static void refuse_later(struct request *request, const char *reason)
{
    answer_later(request, reason);
    refuse(request);
}

/* The new buffer size for a body that needs at least this size. The buffer of a small body doubles.
 * A large body gets the size in its Content-Length, when enough bytes have come to believe it. */
static size_t body_capacity_for(const struct request *request, size_t least)
{
    const char *length = request_header(request, "Content-Length");
    size_t capacity = request->body_capacity ? request->body_capacity : 2048, whole;

    while (capacity < least)
        capacity *= 2;
    if (capacity <= LARGE_BODY)
        return capacity;
    heap_use_large_pages(WORKER_HEAP);
    /* at most body_max, so it is accepted */
    whole = length ? (size_t)strtoull(length, NULL, 10) + 1 : 0;
    return whole >= least ? whole : capacity;
}

/* False: the request must be refused now. */
static bool reserve_body(struct request *request, size_t least)
{
    size_t capacity = body_capacity_for(request, least),
           others = atomic_load(&request->http->body_bytes) - request->body_capacity;
    char *grown;

    if (capacity > SMALL_BODY && others + capacity > BODIES_MAX) {
        refuse_later(request, "too much is being sent at once");
        return false;
    }
    if (!(grown = realloc(request->body, capacity))) {
        refuse_later(request, "out of memory");
        return false;
    }
    request->body = grown;
    set_body_capacity(request, capacity);
    return true;
}

/* False: the connection must be closed. A refused body is read to its end, so that the client gets
 * the answer, but not stored. */
static bool take_body(struct request *request, const char *bytes, size_t size)
{
    size_t before = request->body_size;

    request->body_size += size;
    if (!request->refused && request->body_size > request->body_max)
        refuse_size(request);
    if (!request->refused && request->body_size + 1 > request->body_capacity)
        reserve_body(request, request->body_size + 1);
    if (request->refused)
        return request->body_size <= DISCARD_MAX;
    memcpy(request->body + before, bytes, size);
    request->body[request->body_size] = '\0';
    return true;
}

/* ---- answering ---- */

static void answer_message(struct request *request, unsigned status, const char *key,
                           const char *format, va_list arguments)
{
    struct text *body = &request->answer.body;
    char message[400];

    vsnprintf(message, sizeof message, format, arguments);
    text_free(body);
    request->answer.status = status;
    text_puts(body, "{");
    text_key_json(body, key, message);
    text_puts(body, "}");
}

void answer_error(struct request *request, unsigned status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    answer_message(request, status, "error", format, arguments);
    va_end(arguments);
}

void answer_detail(struct request *request, unsigned status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    answer_message(request, status, "detail", format, arguments);
    va_end(arguments);
}

void answer_later(struct request *request, const char *reason)
{
    answer_error(request, 503, "%s", reason);
    request->answer.retry_after_s = RETRY_AFTER_S;
}

void answer_no_memory(struct request *request)
{
    answer_later(request, "out of memory");
}

void answer_response(struct request *request, unsigned status, struct MHD_Response *response)
{
    if (!response)
        answer_no_memory(request);
    else
        request->answer.status = status;
    request->answer.response = response;
}

json_object *request_object(struct request *request, struct json_problem *problem)
{
    json_object *object =
        body_parse(request->body ? request->body : "", request->body_size, problem);

    if (!object && problem->no_memory)
        answer_no_memory(request);
    if (object) { /* the request does not need the text any more, but still counts in body_bytes */
        free(request->body);
        request->body = NULL;
    }
    return object;
}

void answer_text(struct request *request, struct text *text)
{
    text_free(&request->answer.body);
    request->answer.body = *text;
    request->answer.status = 200;
    *text = (struct text){0};
}

void answer_puts(struct request *request, unsigned status, const char *json)
{
    request->answer.status = status;
    request->answer.body.size = 0;
    text_puts(&request->answer.body, json);
}

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* False: out of memory. An answer that lacks one of its headers must not be sent. */
static bool add_headers(const struct request *request, struct MHD_Response *response)
{
    const struct answer *answer = &request->answer;
    char number[16];
    bool ok = true;

    ok &= add(response, "Content-Type", answer->type ? answer->type : "application/json");
    ok &= add(response, "Content-Security-Policy",
              "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
              "connect-src 'self'; font-src 'self'; "
              "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
    ok &= add(response, "X-Content-Type-Options", "nosniff");
    ok &= add(response, "X-Frame-Options", "DENY");
    ok &= add(response, "Referrer-Policy", "strict-origin-when-cross-origin");
    ok &= add(response, "Cache-Control", answer->etag ? "no-cache" : "no-store");
    if (!request->server->dev && !request->settings->dev_cookies)
        ok &= add(response, "Strict-Transport-Security", "max-age=31536000; includeSubDomains");
    if (answer->etag)
        ok &= add(response, "ETag", answer->etag);
    if (request->close)
        ok &= add(response, "Connection", "close");
    if (answer->allow[0])
        ok &= add(response, "Allow", answer->allow);
    if (answer->stream) /* nginx would otherwise delay events until a buffer is full */
        ok &= add(response, "X-Accel-Buffering", "no");
    if (answer->location[0])
        ok &= add(response, "Location", answer->location);
    if (answer->cookie[0])
        ok &= add(response, "Set-Cookie", answer->cookie);
    if (answer->disposition[0])
        ok &= add(response, "Content-Disposition", answer->disposition);
    if (answer->retry_after_s) {
        snprintf(number, sizeof number, "%d", answer->retry_after_s);
        ok &= add(response, "Retry-After", number);
    }
    return ok;
}

/* Answers 503 instead, because there was no memory for the body. */
static void replace_answer(struct answer *answer)
{
    text_free(&answer->body);
    *answer = (struct answer){.status = 503, .retry_after_s = RETRY_AFTER_S};
}

static enum MHD_Result send_answer(struct request *request)
{
    struct answer *answer = &request->answer;
    struct MHD_Response *response = answer->response;
    enum MHD_Result result = MHD_NO;

    if (answer->body.failed)
        replace_answer(answer);
    if (!response)
        response = MHD_create_response_from_buffer(
            answer->body.size, answer->body.bytes ? answer->body.bytes : (void *)"",
            answer->body.bytes ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    answer->body = (struct text){0};
    answer->response = NULL;
    if (answer->status == 101 || add_headers(request, response))
        result = MHD_queue_response(request->connection, answer->status ? answer->status : 500,
                                    response);
    MHD_destroy_response(response);
    return result;
}

/* ---- counting requests ---- */

/* False: the server is being stopped, and the request must not begin. */
static bool enter(struct http *http)
{
    bool may;

    pthread_mutex_lock(&http->lock);
    may = !http->stopping;
    http->active += may;
    pthread_mutex_unlock(&http->lock);
    return may;
}

static void leave(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    if (--http->active == 0)
        pthread_cond_signal(&http->none_active);
    pthread_mutex_unlock(&http->lock);
}

/* ---- jobs ---- */

static enum job_result apply_job(struct txn *txn, void *context)
{
    struct request *request = context;
    enum job_result result = request->apply(txn, request, request->context);

    /* Without memory for the answer, the job is rolled back: otherwise a command that was taken
     * from its slot would reach no agent. */
    return request->answer.body.failed ? JOB_FAILED : result;
}

static void job_done(void *context, bool ok)
{
    struct request *request = context;

    bool (*after)(struct request *) = request->after;

    request->after = NULL;
    if (!ok)
        answer_later(request, "the store cannot write now");
    else if (after && after(request))
        return;
    request_resume(request);
}

void request_suspend(struct request *request)
{
    if (request->suspended)
        return; /* written once, by the HTTP thread, which may read it while other threads work on
                   the request */
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

void request_resume(struct request *request)
{
    struct http *http = request->http; /* because a resumed request may be freed at once */

    MHD_resume_connection(request->connection);
    leave(http);
}

void request_submit(struct request *request,
                    enum job_result (*apply)(struct txn *, struct request *, void *), void *context,
                    void (*drop)(void *))
{
    if (request->context && request->drop)
        request->drop(request->context); /* of an earlier job */
    request->apply = apply;
    request->context = context;
    request->drop = drop;
    request->job = (struct job){.host = request->host[0] ? request->host : NULL,
                                .apply = apply_job,
                                .done = job_done,
                                .context = request};
    /* before the job is queued, because it may be done before this function returns */
    request_suspend(request);
    store_submit(request->server->store, &request->job);
}

/* ---- libmicrohttpd's callback ---- */

/* An answer that lacks what could not be read would be wrong: a host that is not there, a session
 * that is over. */
static bool read_all(struct request *request)
{
    if (!store_read_failed(request->server->store) || request->suspended ||
        request->answer.response) /* such an answer reads the store while it is sent */
        return true;
    answer_later(request, "the store cannot be read now");
    request->answer.location[0] = request->answer.cookie[0] = '\0';
    return false;
}

/* To be called when the headers were read. */
static void admit(struct request *request, const struct framing *framing, bool odd_target)
{
    if (framing->status) {
        answer_error(request, framing->status, "%s", framing->reason);
        request->refused = request->close = true;
    } else if (odd_target) {
        answer_detail(request, 400, "the path has an encoded slash or NUL");
        request->refused = true;
    } else {
        /* forget failures of earlier requests in this thread */
        (void)store_read_failed(request->server->store);
        request->http->app->admit(request);
        request->refused |= !read_all(request);
    }
    if (!request->refused && framing->has_length && framing->length > request->body_max)
        refuse_size(request);
    if (request->refused && (request_header(request, "Expect") || framing->length > DISCARD_MAX))
        request->close = true; /* the client need not send the body */
}

static enum MHD_Result begin(struct http *http, struct MHD_Connection *connection, const char *url,
                             const char *method, void **state)
{
    struct framing framing = framing_check(connection);
    bool odd_target = framing_target_odd(*state);
    struct request *request = request_new(http, connection, url, method);

    *state = request;
    if (!request)
        return MHD_NO;
    admit(request, &framing, odd_target);
    return request->close ? send_answer(request) : MHD_YES;
}

static void finish(struct request *request)
{
    if (request->refused)
        return;
    if (!enter(request->http)) {
        answer_later(request, "the dashboard is being stopped");
        return;
    }
    (void)store_read_failed(request->server->store);
    request->http->app->handle(request);
    if (!request->suspended) {
        read_all(request);
        leave(request->http);
    }
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    struct request *request = *state;

    (void)version;
    if (!request || framing_target_odd(request))
        return begin(context, connection, url, method, state);
    if (*upload_size > 0) {
        if (monotonic_ms() - request->started_ms > REQUEST_MS ||
            !take_body(request, upload, *upload_size))
            return MHD_NO;
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->suspended) /* after a resume: the job has filled the answer */
        return send_answer(request);
    finish(request);
    return request->suspended ? MHD_YES : send_answer(request);
}

static void quiet(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments; /* an admin does not need to know about clients that hang up */
}

static struct MHD_Daemon *start_daemon(struct http *http, int listener)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
            MHD_USE_ERROR_LOG,
        0, connections_accept, http->connections, handle, http, MHD_OPTION_EXTERNAL_LOGGER, quiet,
        NULL, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_NOTIFY_COMPLETED, request_free, http,
        MHD_OPTION_NOTIFY_CONNECTION, connections_notify, http->connections,
        MHD_OPTION_URI_LOG_CALLBACK, framing_see_target, NULL, MHD_OPTION_THREAD_POOL_SIZE, 2U,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static void http_free(struct http *http)
{
    connections_free(http->connections);
    pthread_cond_destroy(&http->none_active);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

static struct http *http_new(struct server *server, const struct http_app *app)
{
    struct http *http = calloc(1, sizeof *http);

    if (!http)
        return NULL;
    http->server = server;
    http->app = app;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->none_active, NULL);
    http->connections = connections_new(HEADER_MS, &server->settings);
    if (http->connections)
        return http;
    http_free(http);
    return NULL;
}

struct http *http_start(struct server *server, const struct http_app *app, int listener)
{
    struct http *http = http_new(server, app);

    if (http && !(http->daemon = start_daemon(http, listener))) {
        http_free(http);
        http = NULL;
    }
    return http;
}

void http_stop(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    while (http->active > 0)
        pthread_cond_wait(&http->none_active, &http->lock);
    pthread_mutex_unlock(&http->lock);
    http->app->stop(http->server);
    MHD_stop_daemon(http->daemon);
    http_free(http);
}
