/* Posting for a run: the path, the token that works, pauses that grow, and reporting each problem
   once. The shipper, the heartbeat and the spool use it. */
#ifndef NIXFLEET_POST_H
#define NIXFLEET_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "token.h"

/* Descriptors that a helper inherits from the pump (docs/helpers.md). */
enum { HELPER_PAGE_FD = 3, HELPER_WAKE_FD, HELPER_PUMP_FD, HELPER_ACKS_FD };

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
    bool to_pump;  /* with the framing for the pump: 'P', the text, LF */
    unsigned said; /* a bit for each enum problem */
};

/* Reports a problem unless it was reported before. If that is not possible, the problem is
 * dropped. */
void problem_once(struct problems *problems, enum problem kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A pause before the next try: it doubles from 0.5 s up to a limit, and a random part of up to a
 * half is cut off. */
struct backoff {
    int64_t pause_ms;
    int64_t until_ms; /* monotonic time; 0: no pause */
};
/* Begins the next pause, which is at most most_ms. */
void backoff_grow(struct backoff *backoff, int64_t most_ms);
/* sets exactly this pause, which does not grow */
void backoff_set(struct backoff *backoff, int64_t pause_ms);
/* Ends the pause, so that the next one is short again. */
void backoff_reset(struct backoff *backoff);
/* The milliseconds that are left; 0: none. */
int backoff_left(const struct backoff *backoff);

#define POST_REASON_SIZE 320

struct post {
    const struct config *config;
    struct client *client;
    struct token_set *tokens;
    struct backoff backoff;
    struct problems *problems;
    char path[128];
    char reason[POST_REASON_SIZE]; /* why the last request failed; "": it did not fail */
};

/* what: "logs" or "heartbeat". tokens: loaded from config, valid until post_close. Returns 0, or -1
 * (the reason has been reported). */
int post_open(struct post *post, const struct config *config, struct token_set *tokens,
              const char *host, const char *what, struct problems *problems);
void post_close(struct post *post);
/* Starts a request with the present token. The body must stay unchanged until the answer. False if
 * it could not be started; then the backoff has grown. */
bool post_start(struct post *post, const char *body, size_t size, int stall_ms, int64_t total_ms);
/* False if a token is configured but cannot be read; then the reason has been reported. */
bool post_may_send(struct post *post);
/* To be called after a 401 or 403. True if there is another token to try now; otherwise the problem
 * has been reported. */
bool post_denied(struct post *post, int status);
/* To be called after an answer without a usable status: grows the backoff, stores the reason, and
 * reports what a person must correct (trust, redirects). */
void post_failed(struct post *post, const struct client_answer *answer, int64_t most_ms);

/* To be called after an accepted request: resets backoff and reason, and keeps the token. */
void post_succeeded(struct post *post);
/* To be called after an answer that says when to try again (429 or 503). */
void post_must_wait(struct post *post, const struct client_answer *answer, int64_t wait_ms);

#endif
