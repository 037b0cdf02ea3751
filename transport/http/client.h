/* A dashboard as its callers see it: one POST after the other over one kept-alive HTTP/1.1
   connection, never waiting longer than asked, whatever the other side does. Wraps libcurl's multi
   interface.

   What it holds to: TLS is verified (CA file and pinned key as configured), redirects are not
   followed, plain http goes to this machine only unless allowed, an answer is at most
   CLIENT_ANSWER_MAX bytes. A name server that never answers costs one waiting thread, not the
   caller's time. */
#ifndef NIXFLEET_CLIENT_H
#define NIXFLEET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../config/config.h"

#define CLIENT_ANSWER_MAX \
    ((size_t)64 << 10) /* bytes of an answer's body, and as many of its head */
#define CLIENT_ERROR_SIZE 256

struct client;

struct client_answer {
    int status;       /* of HTTP; 0: there was no whole answer, error says why */
    const char *body; /* NUL-terminated; lives until the next post */
    size_t size;
    int64_t retry_after_ms; /* -1: not said; a minute at most */
    bool untrusted;         /* the certificate or the pinned key is wrong */
    char error[CLIENT_ERROR_SIZE];
};

/* True if url is one that the token may be sent to; else a reason (static text) in *why. */
bool client_url_allowed(const char *url, bool allow_insecure_http, const char **why);

/* config->url must be set. The config must outlive the client. NULL with a reason in error.
 * Connects to nothing yet. */
struct client *client_new(const struct config *config, const char *user_agent,
                          char error[CLIENT_ERROR_SIZE]);
void client_free(struct client *client);

struct client_request {
    const char *path;  /* below the URL, from its "/" on */
    const char *token; /* NULL: none */
    const char *body;  /* not copied: must stay as it is until the answer or client_abort */
    size_t size;
    int stall_ms;     /* give up when nothing moves for so long while sending, or the answer takes
                         longer */
    int64_t total_ms; /* give up after so long in any case */
};
/* Starts a request; there must be none in flight. False when it cannot be started (out of
   memory). */
bool client_post(struct client *client, const struct client_request *request);
bool client_busy(const struct client *client);
/* True while a part of the body in flight has yet to be given to the network. */
bool client_sending(const struct client *client);
/* Waits until the answer is there, fd (or -1) is readable or at its end, or timeout_ms is over;
   with no request in flight this is a mere wait for fd. *readable (may be NULL) is set for fd.
   Returns the answer once, when it is there; else NULL. */
const struct client_answer *client_wait(struct client *client, int fd, int timeout_ms,
                                        bool *readable);
/* From now on the request in flight is given up when nothing moves for so long. */
void client_hurry(struct client *client, int stall_ms);
/* Drops the request in flight, and its connection. */
void client_abort(struct client *client);

#endif
