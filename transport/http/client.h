/* An HTTP client: one POST after the other over one kept-alive HTTP/1.1 connection. No call waits
   longer than asked, whatever the server does. Wraps libcurl's multi interface.

   TLS certificates are verified (with CA file and pinned key as configured), redirects are not
   followed, plain http is only allowed to this machine unless configured otherwise, and an answer
   has at most CLIENT_ANSWER_MAX bytes. A name server that never answers costs one waiting thread,
   not the caller's time. */
#ifndef NIXFLEET_CLIENT_H
#define NIXFLEET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../config/config.h"

/* bytes of the body of an answer; the same limit holds for its header */
#define CLIENT_ANSWER_MAX ((size_t)64 << 10)
#define CLIENT_ERROR_SIZE 256

struct client;

struct client_answer {
    int status;       /* of HTTP; 0: no complete answer, error has the reason */
    const char *body; /* NUL-terminated; valid until the next post */
    size_t size;
    int64_t retry_after_ms; /* -1: not given; at most a minute */
    bool untrusted;         /* the certificate or the pinned key is wrong */
    char error[CLIENT_ERROR_SIZE];
};

/* True if the token may be sent to url. Otherwise *why is the reason (static text). */
bool client_url_allowed(const char *url, bool allow_insecure_http, const char **why);

/* config->url must be set, and config be valid until client_free. NULL with a sentence in error.
 * Does not connect yet. */
struct client *client_new(const struct config *config, const char *user_agent,
                          char error[CLIENT_ERROR_SIZE]);
void client_free(struct client *client);

struct client_request {
    const char *path;  /* below the URL, from its "/" on */
    const char *token; /* NULL: none */
    const char *body;  /* not copied: must stay unchanged until the answer or client_abort */
    size_t size;
    int stall_ms; /* give up if no byte moves for this time while sending, or if the answer takes
                     longer */
    int64_t total_ms; /* give up after this time in any case */
};
/* Starts a request; no other may be in flight. False if it cannot be started (out of memory). */
bool client_post(struct client *client, const struct client_request *request);
/* Whether a request is in flight. */
bool client_busy(const struct client *client);
/* True while a part of the body in flight was not yet given to the network. */
bool client_sending(const struct client *client);
/* Waits until the answer has arrived, fd (or -1) is readable or closed by the other end, or
   timeout_ms is over. Without a request in flight it only waits for fd. *readable (may be NULL):
   whether fd is readable. Returns the answer once, when it has arrived; else NULL. */
const struct client_answer *client_wait(struct client *client, int fd, int timeout_ms,
                                        bool *readable);
/* Shortens the deadline of the request in flight: give up if no byte moves for this time. */
void client_hurry(struct client *client, int stall_ms);
/* Drops the request in flight, and its connection. */
void client_abort(struct client *client);

#endif
