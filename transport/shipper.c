/* The loop of a shipper: read the output, update the status page, keep one batch in flight. Nothing
   here waits for the dashboard, so the phase that heartbeats report is always current. */
#include "shipper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../changes/changes.h"
#include "../common/heap.h"
#include "../common/io.h"
#include "outage.h"
#include "helper.h"
#include "body/heartbeat_body.h"
#include "delivery/delivery.h"
#include "http/post.h"
#include "spool.h"

/* pause before the first batch: short, so that the dashboard works on it while we read on */
#define SEND_FIRST_MS 1
#define PACE_MS 1000                  /* between two batches while the command runs */
#define READ_BUDGET ((size_t)1 << 16) /* bytes between two checks of the pump */
/* the same between two checks of a dashboard that works on a batch */
#define READ_BUDGET_BUSY ((size_t)1 << 15)
/* bytes; sending them at once is faster than waiting for more */
#define ENOUGH_AT_END ((size_t)1 << 18)
#define HEAP_SIZE ((size_t)2 << 20) /* bytes: a batch and the usual number of waiting lines */
#define STALL_MS 20000
/* after the end, one try gets this part of the flush timeout, so that others can follow */
#define HURRY_PARTS 4
#define TOTAL_MS 300000
#define RETRY_MOST_MS 30000 /* longest pause while the command runs */
#define RETRY_END_MS 1000   /* longest pause after the end, when time is short */
#define PROBE_MS 60000      /* pause after a 401, 403, 404 or 405 */
#define LAST_WORD_MS 200    /* before the flush timeout, while the pump still listens */
#define LOCK_PAUSE_MS 100
#define FINDER_PAUSE_MS 20   /* between two checks whether the finder has ended */
#define FINDER_GRACE_MS 2000 /* after CHANGES_MS, for the finder to write what it has found */
#define REFUSAL_SIZE 256

extern char **environ;

struct shipper {
    const struct config *config;
    struct status_page *page;
    int wake_fd; /* -1: the pump has closed it */
    struct run_record record;
    struct redactor *redactor;
    struct delivery delivery;
    struct post post;
    struct token_set tokens;
    struct problems problems;
    struct text lost_heartbeat; /* the `lost` heartbeat of a run whose pump died */
    bool locked, ended, lost, lost_acked, lines_done;
    bool reached; /* the dashboard has accepted something */
    bool local;   /* the dashboard does not want the run now, so tries are rare */
    bool over;
    int64_t ended_ms; /* monotonic time */
    int64_t next_ms;  /* monotonic time of the earliest next batch */
    struct outage outage;
    bool alone;           /* the wrapper does not wait for this process */
    pid_t finder;         /* child that finds out what the run changed; 0: none */
    int64_t finder_until; /* monotonic time */
    pid_t older;          /* child that delivers older runs; 0: not started, -1: none */
};

/* ---- starting ---- */

static int open_run(struct shipper *shipper)
{
    struct source source;
    const struct run_info *info = &shipper->record.info;

    shipper->page = status_map(HELPER_PAGE_FD);
    if (!shipper->page || run_record_parse(status_record(shipper->page), shipper->page->record_size,
                                           &shipper->record) < 0)
        return -1;
    (void)status_get_ack(shipper->page, &shipper->record.ack); /* from a shipper that died */
    shipper->redactor = redactor_new(info->secrets, environ, info->argv, shipper->config->redact);
    if (!shipper->redactor)
        return -1;
    source_open(&source, -1, -1, shipper->page, UINT64_MAX, info->rows, info->cols,
                info->started_ms);
    if (delivery_open(&shipper->delivery, info, shipper->redactor, &source, &shipper->record.ack) <
        0)
        return -1;
    delivery_read_record(&shipper->delivery, shipper->config->state_dir, info->id);
    return 0;
}

static int open_network(struct shipper *shipper)
{
    token_set_load(&shipper->tokens, shipper->config);
    helper_read_token(&shipper->tokens, shipper->page);
    if (post_open(&shipper->post, shipper->config, &shipper->tokens, shipper->record.info.host,
                  "logs", &shipper->problems) < 0)
        return -1;
    outage_open(&shipper->outage, shipper->config);
    redactor_add(shipper->redactor, shipper->tokens.file);
    redactor_add(shipper->redactor, shipper->tokens.variable);
    return 0;
}

static int stall_ms(const struct shipper *shipper)
{
    int hurry = shipper->config->flush_timeout_s * 1000 / HURRY_PARTS;

    return shipper->ended && hurry < STALL_MS ? hurry : STALL_MS;
}

/* ---- what the run changed ---- */

/* Starts a child that finds out what the run changed, because nix-store can take long. Lines are
 * delivered in the meantime; only the end of the run waits. */
static void start_finder(struct shipper *shipper)
{
    const char *dir = shipper->config->state_dir, *id = shipper->record.info.id;
    pid_t parent = getpid();

    if (!changes_any(dir, id))
        return;
    shipper->finder = fork();
    if (shipper->finder == 0) {
        helper_die_with(parent);
        free(changes_read(dir, id));
        _exit(0);
    }
    if (shipper->finder < 0)
        shipper->finder = 0;
    shipper->delivery.hold_end = shipper->finder > 0;
    shipper->finder_until = monotonic_ms() + CHANGES_MS + FINDER_GRACE_MS;
}

static void look_at_finder(struct shipper *shipper)
{
    struct delivery *delivery = &shipper->delivery;
    pid_t done;

    if (shipper->finder == 0)
        return;
    done = waitpid(shipper->finder, NULL, WNOHANG);
    if (done == 0 && monotonic_ms() < shipper->finder_until)
        return;
    if (done == 0 && kill(shipper->finder, SIGKILL) == 0)
        while (waitpid(shipper->finder, NULL, 0) < 0 && errno == EINTR)
            ;
    shipper->finder = 0;
    delivery->hold_end = false;
    delivery_set_changes(delivery,
                         changes_made(shipper->config->state_dir, shipper->record.info.id));
}

/* ---- the state of the pump ---- */

static void drain_wake_bytes(struct shipper *shipper)
{
    char bytes[64];
    ssize_t n = read(shipper->wake_fd, bytes, sizeof bytes);

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        shipper->wake_fd = -1;
}

static void look_at_end(struct shipper *shipper)
{
    struct status_page *page = shipper->page;
    uint32_t how = atomic_load(&page->end);
    struct run_end end = {0};

    if (shipper->ended || (how == STATUS_RUNNING && shipper->wake_fd >= 0))
        return;
    how = atomic_load(&page->end); /* read again: the pump sets it before it closes the pipe */
    shipper->ended = true;
    shipper->lost = how == STATUS_RUNNING;
    shipper->ended_ms = monotonic_ms();
    if (!shipper->lost) {
        end.known = true;
        end.by_signal = how == STATUS_KILLED;
        end.code = (int)atomic_load(&page->end_code);
        end.wall_ms = atomic_load(&page->ended_ms);
    }
    end.bytes = atomic_load(&page->bytes);
    end.log_bytes = atomic_load(&page->log_bytes);
    delivery_output_ends(&shipper->delivery, &end);
    start_finder(shipper);
    backoff_reset(&shipper->post.backoff); /* try once more at once, also after a failure */
    shipper->next_ms = 0;
    client_hurry(shipper->post.client, stall_ms(shipper));
}

/* ---- the page ---- */

static void publish(struct shipper *shipper)
{
    const struct phase_view *view = transcript_phase(shipper->delivery.transcript);
    struct status_progress status = {.progress = view->progress};
    const char *current;
    size_t length;

    snprintf(status.phase, sizeof status.phase, "%s", phase_name(view->phase));
    current = redact_cut_text(shipper->redactor, view->progress.current, PHASE_CURRENT_SIZE,
                              PROGRESS_CURRENT_SHOWN, &length);
    /* a part that is not redacted must not stay in memory */
    memset(status.progress.current, 0, sizeof status.progress.current);
    memcpy(status.progress.current, current, length);
    status_set_progress(shipper->page, &status);
    atomic_store(&shipper->page->lines, transcript_line_count(shipper->delivery.transcript));
}

/* Lets the log writer record what the dashboard has. If this fails, lines are sent again later,
 * which does no harm. */
static void acknowledge(struct shipper *shipper, bool delivered, bool refused)
{
    struct run_ack ack = delivery_ack(&shipper->delivery), *on_disk = &shipper->record.ack;

    ack.delivered = delivered;
    ack.refused = refused;
    atomic_store(&shipper->page->acked, shipper->delivery.synced);
    if (ack.lines != on_disk->lines || ack.more != on_disk->more || ack.bytes != on_disk->bytes ||
        delivered || refused)
        status_set_ack(shipper->page, &ack);
    *on_disk = ack;
    if (delivered || shipper->delivery.end_told)
        atomic_store(&shipper->page->delivered, 1);
    (void)write_all(HELPER_ACKS_FD, "a", 1); /* full: enough bytes wait */
}

/* ---- older runs ---- */

/* Delivers earlier runs in a child process, because this may take long. The child ends with this
 * process. The child is started late and only if there are such runs, because the fork makes the
 * next writes to memory slower. */
static void start_older(struct shipper *shipper)
{
    const char *id = shipper->record.info.id;
    pid_t parent = getpid();

    if (!shipper->reached || shipper->older != 0 || shipper->ended ||
        client_busy(shipper->post.client))
        return;
    shipper->older = spool_has_undelivered(shipper->config, id) ? fork() : -1;
    if (shipper->older != 0)
        return;
    helper_die_with(parent);
    close(HELPER_WAKE_FD);
    close(HELPER_PUMP_FD);
    close(HELPER_ACKS_FD);
    close_fd(&shipper->delivery.source.marks_fd);
    spool_deliver(shipper->config, id);
    _exit(0);
}

static void end_older(struct shipper *shipper)
{
    int status;

    if (shipper->older > 0 && kill(shipper->older, SIGKILL) == 0)
        while (waitpid(shipper->older, &status, 0) < 0 && errno == EINTR)
            ;
}

/* ---- sending ---- */

static void report_undelivered(struct shipper *shipper)
{
    const char *reason = *shipper->post.reason ? shipper->post.reason : "no answer so far";
    bool said = shipper->problems.said & (1U << PROBLEM_TRUST | 1U << PROBLEM_REDIRECT);

    if (shipper->lost || shipper->local || shipper->over || shipper->delivery.end_told)
        return;
    problem_once(&shipper->problems, PROBLEM_UNDELIVERED,
                 "output is undelivered%s%s%s: `nixfleet-run --flush` delivers it",
                 said ? "" : " (", said ? "" : reason, said ? "" : ")");
}

/* From now on the wrapper does not wait for this dashboard, or for the logs of builders. This
 * process continues after the wrapper, up to the flush timeout, unless another process already
 * continues after its own wrapper. A later run delivers the rest. */
static void stop_waiting(struct shipper *shipper)
{
    if (!shipper->ended || shipper->alone || shipper->lost)
        return;
    report_undelivered(shipper);
    shipper->alone = true;
    (void)write_all(HELPER_PUMP_FD, "A", 1); /* fails if the pump has stopped waiting by itself */
    helper_stay_behind();
    /* from here on, no process waits for this one, so it may wait for a disk */
    if (!outage_stay(&shipper->outage, shipper->config))
        shipper->over = true;
}

/* Stops waiting if there is no answer at all and the time is over. */
static void notice_silence(struct shipper *shipper)
{
    int64_t waited = monotonic_ms() - shipper->ended_ms;

    if (!shipper->ended || shipper->alone || shipper->outage.answered ||
        waited < outage_patience_ms(&shipper->outage, shipper->config))
        return;
    stop_waiting(shipper);
    outage_note(&shipper->outage, shipper->config);
}

static void go_local(struct shipper *shipper)
{
    shipper->local = true;
    backoff_set(&shipper->post.backoff, PROBE_MS);
    if (shipper->ended)
        shipper->over = true;
}

/* Whether the dashboard refused a part of the run, which is then kept for a later version of the
 * dashboard. */
static bool keeps(struct shipper *shipper)
{
    char text[REFUSAL_SIZE];
    const char *refusal = delivery_refusal(&shipper->delivery, text, sizeof text);

    if (refusal && shipper->config->state_dir)
        run_refusal_write(shipper->config->state_dir, shipper->record.info.id, refusal);
    return refusal;
}

static void take_verdict(struct shipper *shipper, enum delivery_verdict verdict,
                         const struct client_answer *answer)
{
    struct post *post = &shipper->post;
    int64_t most = shipper->ended ? RETRY_END_MS : RETRY_MOST_MS;
    int64_t pace = shipper->ended ? 0 : PACE_MS;

    switch (verdict) {
    case DELIVERY_GO_ON:
    case DELIVERY_DONE:
        post_succeeded(post);
        shipper->reached = true;
        shipper->local = false;
        if (pace < shipper->delivery.wait_ms)
            pace = shipper->delivery.wait_ms;
        shipper->next_ms = pace ? monotonic_ms() + pace : 0;
        shipper->lines_done = verdict == DELIVERY_DONE;
        acknowledge(shipper, verdict == DELIVERY_DONE && !shipper->lost && !keeps(shipper), false);
        /* The dashboard asks for a long pause, or only logs of builders are left. */
        if (!shipper->lines_done &&
            (shipper->delivery.wait_ms > RETRY_END_MS || shipper->delivery.end_told))
            stop_waiting(shipper);
        break;
    case DELIVERY_RETRY:
        post_failed(post, answer, most);
        stop_waiting(shipper);
        break;
    case DELIVERY_WAIT:
        post_must_wait(post, answer, shipper->delivery.wait_ms);
        stop_waiting(shipper);
        break;
    case DELIVERY_DENIED:
        if (!post_denied(post, answer->status))
            go_local(shipper);
        break;
    case DELIVERY_ABSENT:
        problem_once(&shipper->problems, PROBLEM_ABSENT,
                     "the URL is not a nixfleet dashboard (%d): logging locally only",
                     answer->status);
        go_local(shipper);
        break;
    case DELIVERY_STOP:
        problem_once(&shipper->problems, PROBLEM_DELETED,
                     "the run was deleted at the dashboard: logging locally only");
        acknowledge(shipper, false, true);
        shipper->over = true;
        break;
    case DELIVERY_REFUSED:
        problem_once(&shipper->problems, PROBLEM_REFUSED,
                     "the dashboard refuses this run (%s): it stays in the local log",
                     shipper->delivery.refusals.reason);
        (void)keeps(shipper);
        shipper->over = true;
        break;
    }
}

/* Handles the answer to `lost` when all lines are delivered: then nothing is undelivered any
 * more. */
static void take_lost_answer(struct shipper *shipper, const struct client_answer *answer)
{
    if (answer->status == 200 || answer->status == 404 || answer->status == 405 ||
        answer->status == 410) {
        acknowledge(shipper, !keeps(shipper), false);
        shipper->lost_acked = true;
    } else {
        post_failed(&shipper->post, answer, RETRY_END_MS);
    }
}

static void take_answer(struct shipper *shipper, const struct client_answer *answer)
{
    enum delivery_verdict verdict;

    if (answer->status)
        outage_answered(&shipper->outage, shipper->config);
    if (shipper->lines_done) {
        take_lost_answer(shipper, answer);
        return;
    }
    verdict = delivery_take(&shipper->delivery, answer);
    if (shipper->delivery.problem[0])
        problem_once(&shipper->problems, PROBLEM_REFUSED, "%s", shipper->delivery.problem);
    take_verdict(shipper, verdict, answer);
}

/* Checks whether the last batch had everything, and no more text of builders follows. */
static void look_at_logs(struct shipper *shipper)
{
    if (shipper->lines_done || !delivery_over(&shipper->delivery))
        return;
    shipper->lines_done = true;
    acknowledge(shipper, !shipper->lost && !keeps(shipper), false);
}

static void send_lost(struct shipper *shipper)
{
    struct post *post = &shipper->post;

    snprintf(post->path, sizeof post->path, "/api/hosts/%s/heartbeat", shipper->record.info.host);
    if (heartbeat_write(&shipper->lost_heartbeat, HEARTBEAT_LOST, &shipper->record.info,
                        shipper->page, NULL, shipper->redactor, INT32_MAX, 0))
        post_start(post, shipper->lost_heartbeat.bytes, shipper->lost_heartbeat.size, STALL_MS,
                   STALL_MS);
}

/* Only one process may deliver a run at a time; a shipper that is about to end may still do so.
 * Without marks, no other process knows of the run. */
static bool may_deliver(struct shipper *shipper)
{
    int *marks_fd = &shipper->delivery.source.marks_fd;

    if (*marks_fd < 0 && shipper->config->state_dir)
        *marks_fd =
            run_file_open(shipper->config->state_dir, shipper->record.info.id, "marks", O_RDONLY);
    if (!shipper->locked)
        shipper->locked = *marks_fd < 0 || run_delivery_lock(*marks_fd) == 0;
    return shipper->locked;
}

static void send_next(struct shipper *shipper)
{
    struct delivery *delivery = &shipper->delivery;

    if (client_busy(shipper->post.client) || backoff_left(&shipper->post.backoff) > 0 ||
        monotonic_ms() < shipper->next_ms || !may_deliver(shipper))
        return;
    if (!post_may_send(&shipper->post)) {
        go_local(shipper);
        return;
    }
    if (shipper->lines_done) {
        send_lost(shipper);
        return;
    }
    /* Right after the end, one batch with everything is faster than two. */
    if (!delivery_pending(delivery) || (shipper->ended && !delivery_complete(delivery) &&
                                        line_queue_size(&delivery->queue) < ENOUGH_AT_END))
        return;
    if (delivery_build(delivery))
        post_start(&shipper->post, delivery->body.bytes, delivery->body.size, stall_ms(shipper),
                   TOTAL_MS);
    else
        backoff_grow(&shipper->post.backoff, RETRY_MOST_MS);
}

/* Adds a renewed token to the secrets at once, because the command may print it. */
static void look_at_token(struct shipper *shipper)
{
    if (token_set_refresh(&shipper->tokens))
        redactor_add(shipper->redactor, shipper->tokens.file);
}

/* ---- the loop ---- */

/* Milliseconds until this process must have ended by itself. */
static int64_t left_after_end(const struct shipper *shipper)
{
    return shipper->ended_ms + (int64_t)shipper->config->flush_timeout_s * 1000 - LAST_WORD_MS -
           monotonic_ms();
}

static bool finished(struct shipper *shipper)
{
    if (shipper->over || (shipper->lines_done && (!shipper->lost || shipper->lost_acked)))
        return true;
    if (!shipper->ended)
        return false;
    if (shipper->local && !client_busy(shipper->post.client) &&
        backoff_left(&shipper->post.backoff) > 0)
        return true;
    return left_after_end(shipper) <= 0;
}

/* How long to wait if no descriptor becomes readable. */
static int patience(struct shipper *shipper, bool more)
{
    struct status_page *page = shipper->page;
    int64_t pace = shipper->next_ms - monotonic_ms();
    int pause = backoff_left(&shipper->post.backoff);
    int64_t most = shipper->ended ? left_after_end(shipper) : PACE_MS;

    if (shipper->ended && !shipper->alone && !shipper->outage.answered)
        most = shipper->ended_ms + outage_patience_ms(&shipper->outage, shipper->config) -
               monotonic_ms();
    if (most > PACE_MS)
        most = PACE_MS;

    if (more)
        return client_sending(shipper->post.client) ? SEND_FIRST_MS : 0;
    atomic_store(&page->wake_wanted, 1);
    if (source_left(&shipper->delivery.source) > 0 &&
        line_queue_size(&shipper->delivery.queue) <= DELIVERY_QUEUE_MAX)
        return 0; /* output came before the pump could see that it must wake us */
    if (!shipper->locked)
        return LOCK_PAUSE_MS;
    if (shipper->finder > 0)
        return FINDER_PAUSE_MS;
    if (pause == 0 && pace > 0)
        pause = (int)(pace > PROBE_MS ? PROBE_MS : pace);
    if (pause == 0 && !client_busy(shipper->post.client) && delivery_pending(&shipper->delivery))
        return 0;
    return pause > 0 && pause < most ? pause : most > 0 ? (int)most : 0;
}

static void run(struct shipper *shipper)
{
    while (!finished(shipper)) {
        size_t budget = client_busy(shipper->post.client) ? READ_BUDGET_BUSY : READ_BUDGET;
        const struct client_answer *answer;
        bool more, woken;

        look_at_end(shipper);
        look_at_finder(shipper);
        notice_silence(shipper);
        look_at_token(shipper);
        more = delivery_read(&shipper->delivery, budget, true);
        look_at_logs(shipper);
        publish(shipper);
        if (client_busy(shipper->post.client))
            delivery_prepare(&shipper->delivery);
        send_next(shipper);
        if (!more)
            start_older(shipper);
        answer =
            client_wait(shipper->post.client, shipper->wake_fd, patience(shipper, more), &woken);
        if (woken)
            drain_wake_bytes(shipper);
        if (answer) {
            take_answer(shipper, answer);
            if (!finished(shipper))
                /* first send, then read on, so that the dashboard need not wait */
                send_next(shipper);
        }
    }
}

int shipper_main(const struct config *config)
{
    struct shipper shipper = {.config = config,
                              .wake_fd = HELPER_WAKE_FD,
                              .problems = {.fd = HELPER_PUMP_FD, .to_pump = true}};

    heap_use_large_pages(HEAP_SIZE);
    helper_start("shipper");
    if (open_run(&shipper) < 0)
        return 0; /* another try would fail in the same way */
    if (!config->url || open_network(&shipper) < 0)
        return 0; /* the reason was reported */
    run(&shipper);
    report_undelivered(&shipper);
    end_older(&shipper);
    /* the dashboard answers again, so deliver the other runs, too */
    if (shipper.alone && shipper.lines_done)
        spool_deliver(config, shipper.record.info.id);
    /* Nothing is freed: the process ends, and must not wait for a name lookup that hangs. */
    _exit(0);
}
