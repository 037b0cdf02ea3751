/* The only file that knows libmicrohttpd's ways of taking a request apart. */
#include "dashboard/server/http.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/heap.h"
#include "common/io.h"
#include "dashboard/server/connections.h"
#include "dashboard/server/server.h"

#define CONNECTIONS_MAX 20000
#define CONNECTION_MEMORY (10 * 1024) /* bytes for a connection's headers */
#define IDLE_SECONDS 75               /* without a byte in either direction */
#define HEADER_MS 100000              /* for a header, and for the pause in front of it */
#define WORKER_HEAP ((size_t)4 << 20) /* bytes: a large body, as it came and as it was read */
#define LARGE_BODY ((size_t)64 << 10) /* bytes */
#define REQUEST_MS 30000 /* from the first header to the end of the body: against slow senders */
#define RETRY_AFTER_S 5
/* A body that is too large is read up to here, and not kept. */
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

/* A daemon that is stopped while one of its connections is suspended ends the process, and a
 * connection that a WebSocket took over must be given back before. So when the server is to end, no
 * request is begun any more, and http_stop waits for those that are handled or wait for the
 * store. */
struct http {
    struct server *server;
    const struct http_app *app;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    pthread_mutex_t lock; /* protects active and stopping */
    pthread_cond_t none_active;
    size_t active; /* requests that are handled, or suspended */
    bool stopping;
};

struct framing {
    const char *length;
    int chunked, hosts;
    bool differs, odd, unknown;
};

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  size_t name_size, const char *value, size_t value_size)
{
    struct framing *framing = context;

    (void)kind;
    if (strlen(name) != name_size || strpbrk(name, " \t") ||
        (value && (strlen(value) != value_size || strpbrk(value, "\r\n"))))
        framing->odd = true;
    if (strcasecmp(name, "Host") == 0)
        framing->hosts++;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->chunked++;
        framing->unknown = !value || strcasecmp(value, "chunked") != 0;
    }
    if (strcasecmp(name, "Content-Length") == 0) {
        if (framing->length && strcmp(framing->length, value ? value : "") != 0)
            framing->differs = true;
        framing->length = value ? value : "";
    }
    return MHD_YES;
}

/* Two readings of where a body ends are how one request is smuggled behind another. */
static void check_framing(struct request *request)
{
    struct framing framing = {0};

    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, see_header, &framing);
    if (framing.odd || framing.hosts != 1) {
        request->refused = framing.odd ? "a header holds what none may" : "there is not one Host";
        request->refused_status = 400;
    } else if (framing.differs || framing.chunked > 1 || (framing.length && framing.chunked)) {
        request->refused = "the length of the body is ambiguous";
        request->refused_status = 400;
    } else if (framing.unknown) { /* libmicrohttpd would read to the end of the connection */
        request->refused = "the transfer coding is unknown";
        request->refused_status = 501;
    } else if (framing.length && strspn(framing.length, "0123456789") != strlen(framing.length)) {
        request->refused = "the length of the body is no number";
        request->refused_status = 400;
    } else if (framing.length && strtoull(framing.length, NULL, 10) > BODY_MAX) {
        request->refused = "the body is over 1 MiB";
        request->refused_status = strtoull(framing.length, NULL, 10) > DISCARD_MAX ? 400 : 413;
    }
}

static void find_address(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    if (!info ||
        getnameinfo(info->client_addr,
                    info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                             : sizeof(struct sockaddr_in),
                    request->address, sizeof request->address, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(request->address, sizeof request->address, "unknown");
    request->http->app->find_address(request);
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
    request->path = url;
    request->started_ms = monotonic_ms();
    connections_busy(http->connections, connection, true);
    check_framing(request);
    find_address(request);
    return request;
}

static void request_free(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;

    (void)code;
    connections_busy(((struct http *)context)->connections, connection, false);
    if (!request)
        return;
    if (request->context && request->drop)
        request->drop(request->context);
    text_free(&request->answer.body);
    if (request->answer.response)
        MHD_destroy_response(request->answer.response);
    free(request->session);
    free(request->body);
    free(request);
    *state = NULL;
}

/* Room for a body of at least that size: a small one's doubles, a large one's is what it says it
 * needs, once so much has come that this can be believed. */
static size_t body_room(const struct request *request, size_t least)
{
    const char *length = request_header(request, "Content-Length");
    size_t room = request->body_room ? request->body_room : 2048, whole;

    while (room < least)
        room *= 2;
    if (room <= LARGE_BODY)
        return room;
    heap_use_large_pages(WORKER_HEAP);
    whole = length ? (size_t)strtoull(length, NULL, 10) + 1 : 0; /* at most BODY_MAX: it is taken */
    return whole >= least ? whole : room;
}

static bool take_body(struct request *request, const char *bytes, size_t size)
{
    if (request->refused ||
        request->body_size + size > BODY_MAX) { /* read to its end, so that the answer is heard */
        request->refused = "the body is over 1 MiB";
        request->refused_status = 413;
        request->body_size += size;
        return request->body_size <= DISCARD_MAX;
    }
    if (request->body_size + size + 1 > request->body_room) {
        size_t room = body_room(request, request->body_size + size + 1);
        char *grown;

        if (!(grown = realloc(request->body, room)))
            return false;
        request->body = grown;
        request->body_room = room;
    }
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size += size;
    request->body[request->body_size] = '\0';
    return true;
}

/* ---- answering ---- */

static void answer_message(struct request *request, unsigned status, const char *key,
                           const char *message)
{
    struct text *body = &request->answer.body;

    body->size = 0;
    request->answer.status = status;
    text_puts(body, "{");
    text_key_json(body, key, message);
    text_puts(body, "}");
}

void answer_error(struct request *request, unsigned status, const char *format, ...)
{
    char message[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    answer_message(request, status, "error", message);
}

void answer_detail(struct request *request, unsigned status, const char *format, ...)
{
    char message[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    answer_message(request, status, "detail", message);
}

void answer_no_memory(struct request *request)
{
    answer_error(request, 503, "out of memory");
    request->answer.retry_after_s = RETRY_AFTER_S;
}

json_object *request_object(struct request *request, struct json_problem *problem)
{
    json_object *object =
        body_parse(request->body ? request->body : "", request->body_size, problem);

    if (!object && problem->no_memory)
        answer_no_memory(request);
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

static void add_headers(const struct request *request, struct MHD_Response *response)
{
    const struct answer *answer = &request->answer;
    char number[16];

    MHD_add_response_header(response, "Content-Type",
                            answer->type ? answer->type : "application/json");
    MHD_add_response_header(
        response, "Content-Security-Policy",
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; "
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Frame-Options", "DENY");
    MHD_add_response_header(response, "Referrer-Policy", "strict-origin-when-cross-origin");
    MHD_add_response_header(response, "Cache-Control", answer->etag ? "no-cache" : "no-store");
    if (!request->server->dev && !request->server->settings.dev_cookies)
        MHD_add_response_header(response, "Strict-Transport-Security",
                                "max-age=31536000; includeSubDomains");
    if (answer->etag)
        MHD_add_response_header(response, "ETag", answer->etag);
    if (request->refused) /* where its body ends is not sure */
        MHD_add_response_header(response, "Connection", "close");
    if (answer->location[0])
        MHD_add_response_header(response, "Location", answer->location);
    if (answer->cookie[0])
        MHD_add_response_header(response, "Set-Cookie", answer->cookie);
    if (answer->disposition[0])
        MHD_add_response_header(response, "Content-Disposition", answer->disposition);
    if (answer->retry_after_s) {
        snprintf(number, sizeof number, "%d", answer->retry_after_s);
        MHD_add_response_header(response, "Retry-After", number);
    }
}

static enum MHD_Result send_answer(struct request *request)
{
    struct answer *answer = &request->answer;
    struct MHD_Response *response = answer->response;
    enum MHD_Result result;

    if (answer->body.failed) {
        text_free(&answer->body);
        answer->status = 503;
    }
    if (!response)
        response = MHD_create_response_from_buffer(
            answer->body.size, answer->body.bytes ? answer->body.bytes : (void *)"",
            answer->body.bytes ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    answer->body = (struct text){0};
    answer->response = NULL;
    if (answer->status != 101)
        add_headers(request, response);
    result =
        MHD_queue_response(request->connection, answer->status ? answer->status : 500, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- requests that are handled ---- */

/* False: the server is being stopped; the request must not be begun. */
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

    return request->apply(txn, request, request->context);
}

static void job_done(void *context, bool ok)
{
    struct request *request = context;

    if (!ok) {
        answer_error(request, 503, "the store cannot write now");
        request->answer.retry_after_s = RETRY_AFTER_S;
    }
    request_resume(request);
}

void request_suspend(struct request *request)
{
    if (request->suspended)
        return; /* written once, by the HTTP thread, which reads it while others work */
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

void request_resume(struct request *request)
{
    struct http *http = request->http; /* a resumed request may be freed at once */

    MHD_resume_connection(request->connection);
    leave(http);
}

void request_submit(struct request *request,
                    enum job_result (*apply)(struct txn *, struct request *, void *), void *context,
                    void (*drop)(void *))
{
    request->apply = apply;
    request->context = context;
    request->drop = drop;
    request->job = (struct job){.apply = apply_job, .done = job_done, .context = request};
    request_suspend(request); /* before the job: it may be done before we return */
    store_submit(request->server->store, &request->job);
}

/* ---- libmicrohttpd's callback ---- */

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    struct request *request = *state;

    (void)version;
    if (!request) {
        *state = request = request_new(context, connection, url, method);
        if (!request)
            return MHD_NO;
        if (request->refused &&
            request->refused_status != 413) { /* without reading what it claims to send */
            answer_error(request, request->refused_status, "%s", request->refused);
            return send_answer(request);
        }
        return MHD_YES;
    }
    if (*upload_size > 0) {
        if (monotonic_ms() - request->started_ms > REQUEST_MS ||
            !take_body(request, upload, *upload_size))
            return MHD_NO;
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->suspended) /* resumed: the job has filled the answer */
        return send_answer(request);
    if (request->refused) {
        answer_error(request, request->refused_status, "%s", request->refused);
    } else if (!enter(request->http)) {
        answer_error(request, 503, "the dashboard is being stopped");
        request->answer.retry_after_s = RETRY_AFTER_S;
    } else {
        request->http->app->handle(request);
        if (!request->suspended)
            leave(request->http);
    }
    return request->suspended ? MHD_YES : send_answer(request);
}

static void quiet(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments; /* clients that hang up are not the admin's concern */
}

static struct MHD_Daemon *start_daemon(struct http *http, const struct sockaddr *address,
                                       uint16_t port)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
            MHD_USE_ERROR_LOG | (address->sa_family == AF_INET6 ? MHD_USE_IPv6 : 0),
        port, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
        MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_NOTIFY_COMPLETED, request_free, http,
        MHD_OPTION_NOTIFY_CONNECTION, connections_notify, http->connections,
        MHD_OPTION_THREAD_POOL_SIZE, 2U, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096U,
        MHD_OPTION_END);
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
    http->connections = connections_new(HEADER_MS);
    if (http->connections)
        return http;
    http_free(http);
    return NULL;
}

struct http *http_start(struct server *server, const struct http_app *app, const char *address,
                        uint16_t *port, char error[STORE_ERROR_SIZE])
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    const union MHD_DaemonInfo *info;
    struct http *http;
    char service[8];

    snprintf(service, sizeof service, "%u", *port);
    if (strcmp(address, "localhost") == 0)
        address = "127.0.0.1";
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        snprintf(error, STORE_ERROR_SIZE, "%s is not an address", address);
        return NULL;
    }
    if (!(http = http_new(server, app))) {
        freeaddrinfo(found);
        snprintf(error, STORE_ERROR_SIZE, "out of resources");
        return NULL;
    }
    http->daemon = start_daemon(http, found->ai_addr, *port);
    freeaddrinfo(found);
    if (!http->daemon) {
        snprintf(error, STORE_ERROR_SIZE, "cannot listen on %s:%u", address, *port);
        http_free(http);
        return NULL;
    }
    info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (info && info->port)
        *port = info->port;
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
