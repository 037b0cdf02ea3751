/* Delivers one run from its log. */
#include "stored_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../changes/changes.h"
#include "../common/io.h"
#include "body/heartbeat_body.h"
#include "delivery/delivery.h"
#include "http/post.h"

#define STALL_MS 20000
#define TOTAL_MS 120000
#define RETRY_MS 1000
#define LOCK_PAUSE_MS 50
#define REFUSAL_SIZE 256
#define READ_BUDGET ((size_t)4 << 20)
/* of the first batch of a run: more would not arrive in time over a slow line */
#define FIRST_TEXT ((size_t)64 << 10)

extern char **environ;

void stored_run_close(struct stored_run *run)
{
    close_fd(&run->run_fd);
    close_fd(&run->marks_fd);
    close_fd(&run->log_fd);
    run_record_free(&run->record);
}

/* Waits for the process that delivers the run now. Returns 0, or -1 if that takes too long. */
static int lock_run(const struct stored_run *run, int64_t until_ms)
{
    while (run->marks_fd >= 0 && run_delivery_lock(run->marks_fd) < 0) {
        if (errno != EWOULDBLOCK || monotonic_ms() >= until_ms)
            return -1;
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return 0;
}

static bool same_dashboard(const struct config *config, const struct run_info *info)
{
    return !info->url || !*info->url || (config->url && strcmp(info->url, config->url) == 0);
}

bool stored_run_undelivered(const char *dir, const char *id, const struct config *config)
{
    struct run_record record;
    char refusal[8];
    bool undelivered;

    if (run_record_read(dir, id, &record) < 0)
        return errno != ENOENT && errno != EBADMSG &&
               errno != EFBIG; /* undelivered, as far as one can tell without reading it */
    undelivered = run_undelivered(&record) &&
                  (!config || (same_dashboard(config, &record.info) &&
                               !run_refusal_read(dir, id, refusal, sizeof refusal)));
    run_record_free(&record);
    return undelivered;
}

enum stored_result stored_run_open(struct stored_run *run, const char *dir, const char *id,
                                   const struct config *config, int64_t until_ms)
{
    enum run_log_state state;

    *run = (struct stored_run){.run_fd = -1, .marks_fd = -1, .log_fd = -1};
    if (!stored_run_undelivered(dir, id, config))
        return STORED_DONE;
    run->run_fd = run_file_open(dir, id, "run", O_RDWR);
    run->marks_fd = run_file_open(dir, id, "marks", O_RDONLY);
    if (run->run_fd < 0 || lock_run(run, until_ms) < 0)
        return STORED_REFUSED;
    if (run_record_read(dir, id, &run->record) < 0)
        return STORED_DONE; /* removed in the meantime */
    if (!run_undelivered(&run->record))
        return STORED_DONE;
    state = run_log_of(dir, &run->record, &run->log_fd);
    if (state != RUN_LOG_THERE)
        run->log_problem = run_log_state_text(state, errno);
    return STORED_LATER;
}

struct upload {
    const struct config *config;
    struct post post;
    struct delivery delivery;
    struct stored_run *run;
    struct problems *problems;
    uint64_t most;      /* the most lines that the dashboard had so far */
    int64_t sent_ms;    /* monotonic time */
    int64_t give_up_ms; /* monotonic time; moves on when the dashboard has more lines than ever */
    int status;         /* of the last answer; 0: no answer */
};

static void record_ack(struct upload *upload, bool delivered, bool refused)
{
    struct run_ack ack = delivery_ack(&upload->delivery);

    ack.delivered = delivered;
    ack.refused = refused;
    (void)run_ack_write(upload->run->run_fd,
                        &ack); /* on failure, lines are delivered again, which changes nothing */
}

static int64_t timeout_ms(const struct upload *upload)
{
    return (int64_t)upload->config->flush_timeout_s * 1000;
}

static void extend(struct upload *upload)
{
    upload->most = delivery_acked(&upload->delivery);
    upload->give_up_ms = monotonic_ms() + timeout_ms(upload);
}

/* The batches of a fast delivery become larger. */
static void choose_size(struct upload *upload)
{
    struct delivery *delivery = &upload->delivery;

    if ((monotonic_ms() - upload->sent_ms) * 4 > timeout_ms(upload))
        return;
    delivery->text_max *= 2;
    if (delivery->text_max > delivery->text_most)
        delivery->text_max = delivery->text_most;
}

/* Posts and waits for the answer. NULL if it is time to give up. */
static const struct client_answer *exchange(struct upload *upload, const struct text *body)
{
    const struct client_answer *answer = NULL;
    int pause;

    while ((pause = backoff_left(&upload->post.backoff)) > 0) {
        if (monotonic_ms() + pause > upload->give_up_ms)
            return NULL;
        (void)poll(NULL, 0, pause);
    }
    if (!post_start(&upload->post, body->bytes, body->size, STALL_MS, TOTAL_MS))
        return NULL;
    upload->sent_ms = monotonic_ms();
    while (!answer && monotonic_ms() < upload->give_up_ms)
        answer = client_wait(upload->post.client, -1, 200, NULL);
    if (answer) /* without an answer, the status of the last answer stays */
        upload->status = answer->status;
    return answer;
}

/* What to do after an answer. STORED_DONE: continue. STORED_LATER: give up for now.
 * STORED_UNWANTED: also skip other runs of this host. STORED_REFUSED: never deliver this run. */
static enum stored_result take_verdict(struct upload *upload, enum delivery_verdict verdict,
                                       const struct client_answer *answer)
{
    struct post *post = &upload->post;

    switch (verdict) {
    case DELIVERY_GO_ON:
    case DELIVERY_DONE:
        backoff_reset(&post->backoff);
        token_set_accepted(post->tokens);
        record_ack(upload, false, false);
        choose_size(upload);
        if (verdict == DELIVERY_DONE || upload->delivery.build_logs.sent ||
            delivery_acked(&upload->delivery) > upload->most)
            extend(upload);
        if (upload->delivery.wait_ms > 0)
            backoff_set(&post->backoff, upload->delivery.wait_ms);
        return STORED_DONE;
    case DELIVERY_RETRY:
        post_failed(post, answer, RETRY_MS);
        return STORED_DONE;
    case DELIVERY_WAIT:
        backoff_set(&post->backoff, upload->delivery.wait_ms);
        return STORED_DONE;
    case DELIVERY_DENIED:
        return post_denied(post, answer->status) ? STORED_DONE : STORED_UNWANTED;
    case DELIVERY_ABSENT:
        problem_once(upload->problems, PROBLEM_ABSENT, "the URL is not a nixfleet dashboard (%d)",
                     answer->status);
        return STORED_UNWANTED;
    case DELIVERY_STOP:
        record_ack(upload, false, true);
        return STORED_REFUSED;
    case DELIVERY_REFUSED:
        return STORED_KEPT;
    }
    return STORED_LATER;
}

static enum stored_result deliver_lines(struct upload *upload)
{
    struct delivery *delivery = &upload->delivery;

    for (;;) {
        const struct client_answer *answer;
        enum delivery_verdict verdict;
        enum stored_result result;
        int64_t start_ms = monotonic_ms();

        while (delivery_read(delivery, READ_BUDGET, false))
            ;
        /* the time for reading a long log does not count */
        upload->give_up_ms += monotonic_ms() - start_ms;
        if (delivery_over(delivery))
            return STORED_DONE;
        if (!delivery_build(delivery) || !(answer = exchange(upload, &delivery->body)))
            return STORED_LATER;
        verdict = delivery_take(delivery, answer);
        if (delivery->problem[0])
            problem_once(upload->problems, PROBLEM_REFUSED, "%s", delivery->problem);
        result = take_verdict(upload, verdict, answer);
        if (result != STORED_DONE || verdict == DELIVERY_DONE)
            return result;
    }
}

static enum stored_result post_lost(struct upload *upload)
{
    struct text body = {0};
    struct post *post = &upload->post;
    const struct client_answer *answer;
    enum stored_result result = STORED_LATER;

    snprintf(post->path, sizeof post->path, "/api/hosts/%s/heartbeat",
             upload->run->record.info.host);
    while (heartbeat_write(&body, HEARTBEAT_LOST, &upload->run->record.info, NULL, NULL,
                           upload->delivery.redactor, INT32_MAX, 0) &&
           (answer = exchange(upload, &body))) {
        if (answer->status == 200 ||
            (answer->status >= 400 && answer->status < 500 && answer->status != 429)) {
            /* a dashboard that does not accept heartbeats has everything else */
            result = STORED_DONE;
            break;
        }
        post_failed(post, answer, RETRY_MS);
    }
    text_free(&body);
    return result;
}

static void source_of(struct source *source, const struct stored_run *run)
{
    const struct run_record *record = &run->record;
    uint64_t size = run->log_fd >= 0 ? run_log_length(run->log_fd, record) : 0;

    source_open(source, run->log_fd, run->marks_fd, NULL, size, record->info.rows,
                record->info.cols, record->info.started_ms);
    source->gaps = record->gaps;
    source->gap_count = record->gap_count;
}

/* Whether repeated answers of this kind may be about this run only. */
static bool is_about_the_run(int status)
{
    return status >= 500 || status == 408 || status == 409;
}

/* The dashboard has everything that it accepts. Stores what it refused. */
static enum stored_result keep_refusal(struct upload *upload, enum stored_result result)
{
    char text[REFUSAL_SIZE];
    const char *refusal = delivery_refusal(&upload->delivery, text, sizeof text);

    if (!refusal && result == STORED_KEPT)
        snprintf(text, sizeof text, "the dashboard refused the rest: %s",
                 upload->delivery.refusals.reason);
    if (!refusal && result != STORED_KEPT) {
        run_refusal_write(upload->config->state_dir, upload->run->record.info.id, NULL);
        record_ack(upload, true, false);
        return STORED_DONE;
    }
    problem_once(upload->problems, PROBLEM_REFUSED, "%s", text);
    run_refusal_write(upload->config->state_dir, upload->run->record.info.id, text);
    record_ack(upload, false, false);
    return STORED_KEPT;
}

static enum stored_result deliver_whole(struct upload *upload)
{
    const struct run_end *end = &upload->run->record.end;
    enum stored_result result;

    delivery_output_ends(&upload->delivery, end);
    upload->delivery.text_max = FIRST_TEXT;
    extend(upload);
    result = deliver_lines(upload);
    if (result == STORED_DONE && !end->known)
        result = post_lost(upload);
    if (result == STORED_DONE || result == STORED_KEPT)
        result = keep_refusal(upload, result);
    return result;
}

/* A damaged record may have lost its secrets. Then the secrets of this environment are redacted,
 * which is better than nothing. */
static struct redactor *redactor_of(const struct run_record *record, const struct config *config)
{
    const char *text = record->info.secrets;
    struct secrets secrets;
    AUTO_FREE char *grown = NULL, *unknown = NULL;

    if (record->damaged) {
        (void)secrets_parse(&secrets, text ? text : ""); /* on failure the set is empty */
        unknown = secrets_add_all(&secrets, environ, record->info.argv, config->redact);
        text = grown = secrets_format(&secrets);
        secrets_free(&secrets);
        if (!text)
            return NULL;
    }
    return redactor_new(text, NULL, NULL, NULL);
}

enum stored_result stored_run_deliver(struct stored_run *run, const struct config *config,
                                      struct token_set *tokens, struct problems *problems,
                                      struct stored_failure *failure)
{
    struct upload upload = {.config = config, .run = run, .problems = problems};
    struct run_info *info = &run->record.info;
    struct redactor *redactor = redactor_of(&run->record, config);
    struct source source;
    enum stored_result result = STORED_LATER;

    *failure = (struct stored_failure){0};
    if (!info->host[0]) /* a damaged record has lost it */
        snprintf(info->host, sizeof info->host, "%s", config->host);
    source_of(&source, run);
    if (redactor && post_open(&upload.post, config, tokens, info->host, "logs", problems) == 0) {
        redactor_add(redactor, tokens->file);
        redactor_add(redactor, tokens->variable);
        if (!post_may_send(&upload.post)) {
            result = STORED_UNWANTED;
        } else if (delivery_open(&upload.delivery, info, redactor, &source, &run->record.ack) ==
                   0) {
            delivery_read_record(&upload.delivery, config->state_dir, info->id);
            upload.delivery.log_problem = run->log_problem;
            delivery_set_changes(&upload.delivery,
                                 changes_read(config->state_dir, run->record.info.id));
            result = deliver_whole(&upload);
            delivery_close(&upload.delivery);
        }
        snprintf(failure->reason, sizeof failure->reason, "%s", upload.post.reason);
        post_close(&upload.post);
    }
    redactor_free(redactor);
    if (result != STORED_LATER || !is_about_the_run(upload.status))
        return result;
    failure->status = upload.status;
    return STORED_TROUBLED;
}
