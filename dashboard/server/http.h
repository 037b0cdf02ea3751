/* HTTP: libmicrohttpd underneath, one struct request above. A handler answers at once, or submits a
   job to the store and is answered after its commit. TLS comes from a reverse proxy. */
#ifndef NIXFLEET_DASHBOARD_SERVER_HTTP_H
#define NIXFLEET_DASHBOARD_SERVER_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"
#include "common/json.h"
#include "dashboard/server/address.h"
#include "dashboard/server/settings.h"
#include "dashboard/store/store.h"

#define BODY_MAX ((size_t)1 << 20) /* of any call; each row of the routes has its own */

struct http;
struct route;
struct server;

/* What is known of who calls; auth fills it. */
enum caller_kind {
    CALLER_NOBODY,
    CALLER_VIEW,   /* the view token */
    CALLER_PERSON, /* a session, or --dev */
};
struct caller {
    enum caller_kind kind;
    char token[65];     /* PERSON: the session's; VIEW: a hash of the view token */
    int64_t expires_ms; /* the session's end, wall; 0: none */
};

struct answer {
    unsigned status;
    const char *type;              /* content type; NULL: JSON */
    struct text body;              /* taken over by the response */
    char location[512];            /* of a redirect, "" if none */
    char cookie[512];              /* Set-Cookie, "" if none */
    char disposition[160];         /* Content-Disposition, "" if none */
    char allow[40];                /* of a 405, "" if none */
    const char *etag;              /* static text, or NULL */
    bool stream;                   /* proxies must not buffer it */
    int retry_after_s;             /* 0: none */
    struct MHD_Response *response; /* instead of body: the handler's own; taken over */
};

/* A request belongs to one thread at a time. It begins with the HTTP thread of its connection. A
 * handler that cannot answer at once suspends the request and hands it over (request_submit,
 * task_queue_submit, target_refresh): then it belongs to the thread that works on it, which fills
 * answer, and may hand it over again. request_resume gives it back to the HTTP thread; the caller
 * must not touch it any more, it may be freed at once. Only the HTTP thread writes what stands in
 * front of answer; `suspended` it may read at any time. */
struct request {
    struct http *http;
    struct server *server;
    struct MHD_Connection *connection;
    const char *method, *path;
    char host[HOST_ID_SIZE]; /* {host} of the route, normalised */
    char run[RUN_ID_SIZE];   /* {run} */
    char *body;              /* NUL-terminated */
    size_t body_size, body_room;
    char address[ADDRESS_SIZE]; /* of the client, in front of trusted proxies */
    char client[ADDRESS_SIZE];  /* the key under which it is counted: address_key */
    struct settings_holder *holder;
    const struct dashboard_settings *settings; /* those in use when the request came */
    struct caller caller;
    int64_t started_ms;        /* monotonic */
    const struct route *route; /* the app's; NULL: none was found */
    size_t body_max;           /* bytes that the app takes */
    bool refused;              /* the answer is made already; the body is read and dropped */
    bool close;                /* answered without reading the body: the connection ends */
    struct answer answer;
    bool suspended; /* waits for the store */
    struct job job;
    enum job_result (*apply)(struct txn *txn, struct request *request, void *context);
    void (*drop)(void *context);
    void *context;
    void (*after)(struct request *request); /* called once the job is committed; NULL: nothing */
};

/* What the program gives to the server, which knows nothing of what it serves. */
struct http_app {
    /* Called when the headers are read and before the body is: sets route and body_max, or answers
       and sets refused. */
    void (*admit)(struct request *request);
    /* Answers a request whose body is read, suspends it, or submits a job. */
    void (*handle)(struct request *request);
    /* Ends event streams and WebSockets: called by http_stop when no request is being handled and
     * none begins any more. */
    void (*stop)(struct server *server);
};

/* Starts to serve the connections of a listening socket (listen.h), which it takes over. app and
 * server must live until http_stop. NULL when out of resources. */
struct http *http_start(struct server *server, const struct http_app *app, int listener);
/* Ends serving while the store still writes: requests that are being handled are finished, streams
 * and WebSockets are ended (app->stop), connections are closed. Frees http. */
void http_stop(struct http *http);

/* Query parameter or header; NULL if absent. Lives as long as the request. */
const char *request_query(const struct request *request, const char *name);
const char *request_header(const struct request *request, const char *name);
/* A query parameter as a number in [low, high]; standard if it is absent or none. */
int64_t request_number(const struct request *request, const char *name, int64_t low, int64_t high,
                       int64_t standard);

/* The body as a JSON object, which the caller puts. NULL with *problem; out of memory has been
 * answered with 503 then, so that the sender keeps what it sent, anything else has not. */
json_object *request_object(struct request *request, struct json_problem *problem);

/* Answers 503 with Retry-After: it may work later. */
void answer_later(struct request *request, const char *reason);
/* Answers with {"error": …} (our calls) or {"detail": …} (v1's). */
void answer_error(struct request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_detail(struct request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Answers 503: the same request can succeed later. */
void answer_no_memory(struct request *request);
/* Answers 200 with a JSON text that was built; takes it over. */
void answer_text(struct request *request, struct text *text);
void answer_puts(struct request *request, unsigned status, const char *json);

/* The request is answered later: whoever fills its answer resumes it then. Once suspended it stays
 * so; a second call does nothing. */
void request_suspend(struct request *request);
void request_resume(struct request *request);

/* Runs apply on the writer thread in a transaction; it fills request->answer. A store that fails
 * answers 503 with Retry-After. drop frees context. */
void request_submit(struct request *request,
                    enum job_result (*apply)(struct txn *, struct request *, void *), void *context,
                    void (*drop)(void *));

#endif
