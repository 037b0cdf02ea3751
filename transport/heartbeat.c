/* The loop of a heartbeat process: wait for the time or the end, post, handle the answer. */
#include "heartbeat.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "body/heartbeat_body.h"
#include "outage.h"
#include "helper.h"
#include "http/answer.h"
#include "http/post.h"
#include "http/verdict.h"

#define ANSWER_MS 4000    /* the time for an answer; the next heartbeat is more recent anyway */
#define HURRY_PARTS 4     /* the last heartbeat gets this part of the flush timeout */
#define RETRY_MS 3000     /* longest pause after a failure */
#define RETRY_END_MS 1000 /* longest pause for the last heartbeat */
#define PROBE_MS 60000    /* pause after a 404 or 405 */
#define END_STEP_MS 50    /* pause between two looks at the clock after the end */
/* the least time for trying to send `lost`, because no other process will report it soon */
#define LOST_TRIES_MS 30000

struct heartbeat {
    const struct config *config;
    struct status_page *page;
    int wake_fd; /* -1: the pump has closed it */
    struct run_record record;
    struct redactor *redactor;
    struct post post;
    struct token_set tokens;
    struct outage outage;
    struct problems problems;
    struct text body;
    struct run_end end;
    enum heartbeat_kind kind; /* of the next heartbeat */
    int64_t next_ms;          /* monotonic time */
    int64_t ended_ms;
    bool ended, acked, stop_passed, over;
};

static int open_run(struct heartbeat *heartbeat)
{
    heartbeat->page = status_map(HELPER_PAGE_FD);
    if (!heartbeat->page || run_record_parse(status_record(heartbeat->page),
                                             heartbeat->page->record_size, &heartbeat->record) < 0)
        return -1;
    heartbeat->redactor = redactor_new(heartbeat->record.info.secrets, NULL, NULL, NULL);
    if (!heartbeat->redactor)
        return -1;
    token_set_load(&heartbeat->tokens, heartbeat->config);
    helper_wait_for_token(&heartbeat->tokens, heartbeat->page);
    if (post_open(&heartbeat->post, heartbeat->config, &heartbeat->tokens,
                  heartbeat->record.info.host, "heartbeat", &heartbeat->problems) < 0)
        return -1;
    outage_open(&heartbeat->outage, heartbeat->config);
    redactor_add(heartbeat->redactor, heartbeat->tokens.file);
    redactor_add(heartbeat->redactor, heartbeat->tokens.variable);
    return 0;
}

/* At the end of the run, a request in flight is aborted, because the next heartbeat says more. */
static void look_at_end(struct heartbeat *heartbeat)
{
    uint32_t how = atomic_load(&heartbeat->page->end);

    if (heartbeat->ended || (how == STATUS_RUNNING && heartbeat->wake_fd >= 0))
        return;
    /* read again: the pump sets it before it closes the pipe */
    how = atomic_load(&heartbeat->page->end);
    heartbeat->ended = true;
    heartbeat->ended_ms = monotonic_ms();
    heartbeat->kind = how == STATUS_RUNNING ? HEARTBEAT_LOST : HEARTBEAT_FINISHED;
    heartbeat->end = (struct run_end){.known = how != STATUS_RUNNING,
                                      .by_signal = how == STATUS_KILLED,
                                      .code = (int)atomic_load(&heartbeat->page->end_code)};
    client_abort(heartbeat->post.client);
    backoff_reset(&heartbeat->post.backoff);
    heartbeat->next_ms = 0;
}

/* How long to wait for an answer. */
static int answer_ms(const struct heartbeat *heartbeat)
{
    int hurry = heartbeat->config->flush_timeout_s * 1000 / HURRY_PARTS;

    return heartbeat->kind == HEARTBEAT_FINISHED && hurry < ANSWER_MS ? hurry : ANSWER_MS;
}

static void send_beat(struct heartbeat *heartbeat)
{
    if (client_busy(heartbeat->post.client) || backoff_left(&heartbeat->post.backoff) > 0 ||
        monotonic_ms() < heartbeat->next_ms)
        return;
    (void)token_set_refresh(&heartbeat->tokens);
    if (!post_may_send(&heartbeat->post)) {
        backoff_set(&heartbeat->post.backoff, PROBE_MS);
        heartbeat->over = heartbeat->ended;
        return;
    }
    heartbeat->next_ms = monotonic_ms() + (int64_t)heartbeat->config->heartbeat_s * 1000;
    if (heartbeat_write(&heartbeat->body, heartbeat->kind, &heartbeat->record.info, heartbeat->page,
                        &heartbeat->end, heartbeat->redactor,
                        atomic_fetch_add(&heartbeat->page->heartbeats, 1),
                        heartbeat->kind == HEARTBEAT_RUNNING ? heartbeat->config->heartbeat_s : 0))
        post_start(&heartbeat->post, heartbeat->body.bytes, heartbeat->body.size,
                   answer_ms(heartbeat), answer_ms(heartbeat));
}

static void pass_stop(struct heartbeat *heartbeat, const struct client_answer *answer)
{
    struct answer said;

    if (heartbeat->stop_passed || !answer_parse(answer->body, answer->size, &said) || !said.stop)
        return;
    heartbeat->stop_passed = write_all(HELPER_PUMP_FD, "S", 1) == 0;
}

static void take_answer(struct heartbeat *heartbeat, const struct client_answer *answer)
{
    struct post *post = &heartbeat->post;

    if (answer->status)
        outage_answered(&heartbeat->outage, heartbeat->config);
    switch (verdict_of(answer)) {
    case VERDICT_TAKEN:
        backoff_reset(&post->backoff);
        token_set_accepted(post->tokens);
        pass_stop(heartbeat, answer);
        heartbeat->acked = heartbeat->ended;
        break;
    case VERDICT_DENIED: /* the shipper reports it */
        if (post_denied(post, answer->status))
            heartbeat->next_ms = 0;
        else
            heartbeat->over = heartbeat->ended;
        break;
    /* the shipper reports it; also, a proxy may send this while its dashboard starts */
    case VERDICT_ABSENT:
        backoff_set(&post->backoff, PROBE_MS);
        heartbeat->over = heartbeat->ended;
        break;
    case VERDICT_GONE:
        heartbeat->over = true;
        break;
    case VERDICT_WAIT:
        backoff_set(&post->backoff, answer->retry_after_ms);
        heartbeat->next_ms = 0;
        break;
    case VERDICT_CONFLICT:
    case VERDICT_TOO_LARGE:
    case VERDICT_REFUSED: /* the dashboard refuses this heartbeat, but may accept the next one */
        heartbeat->over = heartbeat->ended;
        break;
    case VERDICT_RETRY:
        post_failed(post, answer, heartbeat->ended ? RETRY_END_MS : RETRY_MS);
        heartbeat->next_ms = 0; /* wait for the backoff only, not for the whole interval */
        break;
    }
    /* The shipper also delivers the end of the run. */
    if (heartbeat->ended && !heartbeat->acked && heartbeat->kind == HEARTBEAT_FINISHED)
        heartbeat->over = true;
}

static bool finished(const struct heartbeat *heartbeat)
{
    int64_t most = outage_patience_ms(&heartbeat->outage, heartbeat->config);

    if (heartbeat->acked || heartbeat->over)
        return true;
    if (heartbeat->kind == HEARTBEAT_LOST && most < LOST_TRIES_MS)
        most = LOST_TRIES_MS;
    return heartbeat->ended && monotonic_ms() - heartbeat->ended_ms >= most;
}

static int patience(const struct heartbeat *heartbeat)
{
    int64_t left = heartbeat->next_ms - monotonic_ms();
    int pause = backoff_left(&heartbeat->post.backoff);

    if (left < pause)
        left = pause;
    if (client_busy(heartbeat->post.client) || left > 1000)
        left = 1000;
    if (heartbeat->ended && left > END_STEP_MS)
        left = END_STEP_MS;
    return left > 0 ? (int)left : 0;
}

static void run(struct heartbeat *heartbeat)
{
    while (look_at_end(heartbeat), !finished(heartbeat)) {
        const struct client_answer *answer;
        bool woken;

        send_beat(heartbeat);
        answer =
            client_wait(heartbeat->post.client, heartbeat->wake_fd, patience(heartbeat), &woken);
        if (woken) {
            char bytes[64];
            ssize_t n = read(heartbeat->wake_fd, bytes, sizeof bytes);

            if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
                heartbeat->wake_fd = -1;
        }
        if (answer)
            take_answer(heartbeat, answer);
    }
}

int heartbeat_main(const struct config *config)
{
    struct heartbeat heartbeat = {.config = config,
                                  .wake_fd = HELPER_WAKE_FD,
                                  /* Problems that both helpers have are reported by the shipper. */
                                  .problems = {.fd = HELPER_PUMP_FD,
                                               .to_pump = true,
                                               .said = 1U << PROBLEM_TOKEN | 1U << PROBLEM_URL |
                                                       1U << PROBLEM_TRUST |
                                                       1U << PROBLEM_REDIRECT}};

    helper_start("heartbeat");
    if (!config->url)
        return 0;
    if (open_run(&heartbeat) < 0)
        return 0; /* another try would fail in the same way */
    run(&heartbeat);
    /* Nothing is freed: the process ends, and must not wait for a name lookup that hangs. */
    _exit(0);
}
