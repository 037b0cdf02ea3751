/* Posting for a run: the path, the token that works, pauses that grow, and saying each problem
   once. What the shipper, the heartbeat and the spool have in common. */
#ifndef NIXFLEET_POST_H
#define NIXFLEET_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "token.h"

/* Descriptors that the pump hands down (docs/helpers.md). */
enum { HELPER_PAGE_FD = 3, HELPER_POKE_FD, HELPER_PUMP_FD, HELPER_ACKS_FD };

enum problem {
    PROBLEM_URL,
    PROBLEM_TOKEN,
    PROBLEM_ABSENT,
    PROBLEM_TRUST,
    PROBLEM_REDIRECT,
    PROBLEM_REFUSED,
    PROBLEM_DELETED,
    PROBLEM_LOG,
    PROBLEM_UNDELIVERED
};

struct problems {
    int fd;        /* of the pump, or 2 */
    bool to_pump;  /* with its framing: 'P', the text, LF */
    unsigned said; /* a bit for each enum problem */
};

/* Says it if it has not been said. A problem that cannot be said is dropped. */
void problem_once(struct problems *problems, enum problem kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A pause before the next try: it doubles from 0.5 s to `most`, and is cut by chance to between
 * half and all of it. */
struct backoff {
    int64_t pause_ms;
    int64_t until_ms; /* monotonic; 0: at once */
};
void backoff_grow(struct backoff *backoff, int64_t most_ms);
void backoff_set(struct backoff *backoff, int64_t pause_ms); /* exactly; does not grow */
void backoff_reset(struct backoff *backoff);
/* Milliseconds until it is over, 0 when it is. */
int backoff_left(const struct backoff *backoff);

#define POST_REASON_SIZE 320

struct post {
    const struct config *config;
    struct client *client;
    struct token_set *tokens;
    struct backoff backoff;
    struct problems *problems;
    char path[128];
    char reason[POST_REASON_SIZE]; /* why the last request failed; "": it did not */
};

/* what: "logs" or "heartbeat". tokens: of config, loaded; they outlive post. 0, or -1 (the reason
 * has been said). */
int post_open(struct post *post, const struct config *config, struct token_set *tokens,
              const char *host, const char *what, struct problems *problems);
void post_close(struct post *post);
/* Starts a request with the current token. The body must stay. False when it could not start: then
 * the backoff has grown. */
bool post_start(struct post *post, const char *body, size_t size, int stall_ms, int64_t total_ms);
/* False, and it has been said why, when there is no token to send though one is configured. */
bool post_may_send(struct post *post);
/* After a 401 or 403: true if there is another token to try now. Else it has been said. */
bool post_denied(struct post *post, int status);
/* After an answer without a usable status: grows the backoff, keeps the reason, and says what a
 * person must mend (trust, redirects). */
void post_failed(struct post *post, const struct client_answer *answer, int64_t most_ms);

/* After an answer that was taken: no backoff, no reason, and the token is the right one. */
void post_succeeded(struct post *post);
/* After an answer that says when to try again (a 429 or 503). */
void post_must_wait(struct post *post, const struct client_answer *answer, int64_t wait_ms);

#endif
