/* Handles tokens, pauses and problems for a client. */
#include "post.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"

#define FIRST_PAUSE_MS 500
#define PROBLEM_SIZE 480

#ifndef VERSION
#define VERSION "0"
#endif

void problem_once(struct problems *problems, enum problem kind, const char *format, ...)
{
    char line[PROBLEM_SIZE];
    int head = snprintf(line, sizeof line, "%s", problems->to_pump ? "P" : "nixfleet-run: ");
    int length;
    va_list arguments;

    if (problems->said & 1U << kind)
        return;
    problems->said |= 1U << kind;
    va_start(arguments, format);
    length = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    length = (int)strlen(line);
    line[length++] = '\n';
    (void)write_all(problems->fd, line, (size_t)length); /* no other place to report it */
}

/* ---- pauses ---- */

void backoff_grow(struct backoff *backoff, int64_t most_ms)
{
    int64_t pause = backoff->pause_ms ? backoff->pause_ms * 2 : FIRST_PAUSE_MS;

    backoff->pause_ms = pause < most_ms ? pause : most_ms;
    backoff->until_ms = monotonic_ms() + backoff->pause_ms / 2 +
                        (int64_t)arc4random_uniform((uint32_t)backoff->pause_ms / 2 + 1);
}

void backoff_set(struct backoff *backoff, int64_t pause_ms)
{
    backoff->until_ms = monotonic_ms() + pause_ms;
}

void backoff_reset(struct backoff *backoff)
{
    *backoff = (struct backoff){0};
}

int backoff_left(const struct backoff *backoff)
{
    int64_t left = backoff->until_ms ? backoff->until_ms - monotonic_ms() : 0;

    return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* ---- posting ---- */

int post_open(struct post *post, const struct config *config, struct token_set *tokens,
              const char *host, const char *what, struct problems *problems)
{
    char error[CLIENT_ERROR_SIZE];

    *post = (struct post){.config = config, .tokens = tokens, .problems = problems};
    snprintf(post->path, sizeof post->path, "/api/hosts/%s/%s", host, what);
    post->client = client_new(config, "nixfleet-run/" VERSION, error);
    if (post->client)
        return 0;
    problem_once(problems, PROBLEM_URL, "%s: %s: logging locally only", config->url, error);
    return -1;
}

void post_close(struct post *post)
{
    client_free(post->client);
    post->client = NULL;
}

bool post_may_send(struct post *post)
{
    if (!token_set_broken(post->tokens))
        return true;
    problem_once(post->problems, PROBLEM_TOKEN, "no token: %s: logging locally only",
                 post->tokens->why);
    return false;
}

bool post_start(struct post *post, const char *body, size_t size, int stall_ms, int64_t total_ms)
{
    struct client_request request = {.path = post->path,
                                     .token = token_set_current(post->tokens),
                                     .body = body,
                                     .size = size,
                                     .stall_ms = stall_ms,
                                     .total_ms = total_ms};

    if (client_post(post->client, &request))
        return true;
    backoff_grow(&post->backoff, 30000);
    return false;
}

bool post_denied(struct post *post, int status)
{
    bool sent = token_set_current(post->tokens);

    if (token_set_refused(post->tokens))
        return true;
    if (sent)
        problem_once(post->problems, PROBLEM_TOKEN,
                     "the dashboard does not accept the token (%d): logging locally only", status);
    else
        problem_once(post->problems, PROBLEM_TOKEN,
                     "the dashboard wants a token (%d), and none is configured (--token-file or "
                     "NIXFLEET_TOKEN): logging locally only",
                     status);
    return false;
}

static void keep_reason(struct post *post, const struct client_answer *answer)
{
    if (answer->status == 0)
        snprintf(post->reason, sizeof post->reason, "%s", answer->error);
    else if (answer->status < 300)
        snprintf(post->reason, sizeof post->reason,
                 "the URL is not a nixfleet dashboard (status %d)", answer->status);
    else
        snprintf(post->reason, sizeof post->reason, "the dashboard answered %d", answer->status);
}

void post_failed(struct post *post, const struct client_answer *answer, int64_t most_ms)
{
    keep_reason(post, answer);
    if (answer->untrusted)
        problem_once(post->problems, PROBLEM_TRUST, "the dashboard is not trusted: %s",
                     answer->error);
    else if (answer->status >= 300 && answer->status < 400)
        problem_once(post->problems, PROBLEM_REDIRECT,
                     "the dashboard redirects (%d), which is not followed: is the URL right?",
                     answer->status);
    backoff_grow(&post->backoff, most_ms);
}

void post_succeeded(struct post *post)
{
    backoff_reset(&post->backoff);
    token_set_accepted(post->tokens);
    post->reason[0] = '\0';
}

void post_must_wait(struct post *post, const struct client_answer *answer, int64_t wait_ms)
{
    keep_reason(post, answer);
    backoff_set(&post->backoff, wait_ms);
}
