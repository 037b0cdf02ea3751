/* HTTP: libmicrohttpd below, one struct request for each request above. A handler answers at once,
   or submits a job to the store and is answered after its commit. TLS is the task of a reverse
   proxy. */
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

#define BODY_MAX ((size_t)1 << 20) /* of any call; each route has its own limit */

struct http;
struct route;
struct server;

/* What is known about the caller; auth fills it. */
enum caller_kind {
    CALLER_NOBODY,
    CALLER_VIEW,   /* the view token */
    CALLER_PERSON, /* a session, or --dev */
};
struct caller {
    enum caller_kind kind;
    char token[65];     /* PERSON: of the session; VIEW: a hash of the view token */
    int64_t expires_ms; /* end of the session, wall clock; 0: none */
};

struct answer {
    unsigned status;
    const char *type;              /* content type; NULL: JSON */
    struct text body;              /* the response takes it over */
    char location[512];            /* of a redirect; "": none */
    char cookie[512];              /* Set-Cookie; "": none */
    char disposition[160];         /* Content-Disposition; "": none */
    char allow[40];                /* of a 405; "": none */
    const char *etag;              /* static text, or NULL */
    bool stream;                   /* proxies must not buffer it */
    int retry_after_s;             /* 0: none */
    struct MHD_Response *response; /* instead of body, made by the handler; taken over */
};

/* A request belongs to one thread at a time, at first to the HTTP thread of its connection. A
 * handler that cannot answer at once suspends the request and passes it on (request_submit,
 * task_queue_submit, target_refresh). Then it belongs to the thread that works on it, which fills
 * answer and may pass it on again. request_resume returns it to the HTTP thread; the caller must
 * not use it any more, because it may be freed at once. Only the HTTP thread writes the fields
 * before answer; it may read `suspended` at any time. */
struct request {
    struct http *http;
    struct server *server;
    struct MHD_Connection *connection;
    const char *method, *path;
    char host[HOST_ID_SIZE]; /* {host} of the route, in lower case */
    char run[RUN_ID_SIZE];   /* {run} of the route */
    int64_t number;          /* {n} of the route */
    char *body;              /* NUL-terminated */
    size_t body_size, body_capacity;
    char address[ADDRESS_SIZE]; /* of the client, before trusted proxies */
    char client[ADDRESS_SIZE];  /* address_key: the key under which the client is counted */
    struct settings_holder *holder;
    /* the settings that were in use when the request came */
    const struct dashboard_settings *settings;
    struct caller caller;
    int64_t started_ms;        /* monotonic time */
    const struct route *route; /* of the app; NULL: none was found */
    size_t body_max;           /* bytes that the app accepts */
    bool refused;              /* the answer is made already; the body is read and dropped */
    bool unsure;               /* out of memory, or the store failed: who calls is not known */
    bool close;                /* answered without reading the body, so the connection ends */
    struct answer answer;
    bool suspended; /* waits for the store or another thread */
    struct job job;
    enum job_result (*apply)(struct txn *txn, struct request *request, void *context);
    void (*drop)(void *context);
    void *context;
    /* Called on the writer thread after the commit of the job; must not block. Returns whether it
     * has passed the request on, so that another thread answers. NULL: nothing is called. */
    bool (*after)(struct request *request);
};

/* What the program passes to the server, which does not know the calls. */
struct http_app {
    /* Called after the headers and before the body: sets route and body_max, or answers and sets
       refused. */
    void (*admit)(struct request *request);
    /* Called after the body: answers the request, suspends it, or submits a job. */
    void (*handle)(struct request *request);
    /* Ends event streams and WebSockets. http_stop calls it when no request is being handled and
     * none begins any more. */
    void (*stop)(struct server *server);
};

/* Serves the connections of a listening socket (listen.h), which it takes over. app and server must
 * be valid until http_stop. NULL when out of resources. */
struct http *http_start(struct server *server, const struct http_app *app, int listener);
/* Ends the server; the store must still be writing: finishes the requests that are being handled,
 * ends streams and WebSockets (app->stop), closes connections. Frees http. */
void http_stop(struct http *http);

/* A query parameter or header; NULL if absent. Valid as long as the request. */
const char *request_query(const struct request *request, const char *name);
const char *request_header(const struct request *request, const char *name);
/* A query parameter as a number in [low, high]; `standard` if it is absent or not such a number. */
int64_t request_number(const struct request *request, const char *name, int64_t low, int64_t high,
                       int64_t standard);

/* The body as a JSON object, which the caller frees with json_object_put; the body is freed. NULL
 * with *problem on failure. If memory is short, 503 has been answered, so that the sender keeps
 * what it sent; other problems must be answered by the caller. */
json_object *request_object(struct request *request, struct json_problem *problem);

/* Answers 503 with Retry-After: the same request may succeed later. */
void answer_later(struct request *request, const char *reason);
/* Answer with {"error": …} (our calls) or {"detail": …} (v1's calls). */
void answer_error(struct request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_detail(struct request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Answers 503 when out of memory: the same request may succeed later. */
void answer_no_memory(struct request *request);
/* Answers with a response that the caller made, and takes it over. NULL (libmicrohttpd had no
 * memory for it): answers 503. */
void answer_response(struct request *request, unsigned status, struct MHD_Response *response);
/* Answers 200 with a JSON text; takes the text over. */
void answer_text(struct request *request, struct text *text);
void answer_puts(struct request *request, unsigned status, const char *json);

/* request_suspend: the request will be answered later, by a thread that fills the answer and then
 * calls request_resume. A second call does nothing. */
void request_suspend(struct request *request);
void request_resume(struct request *request);

/* Runs apply on the writer thread in a transaction; apply fills request->answer. If the store
 * fails, answers 503 with Retry-After. drop frees context. `after`, if it is needed, is set before;
 * a job that `after` submits has none unless it sets one. */
void request_submit(struct request *request,
                    enum job_result (*apply)(struct txn *, struct request *, void *), void *context,
                    void (*drop)(void *));

#endif
