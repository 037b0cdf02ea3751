/* Deliveries without a pump: one run after the other, each from its log. */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "body/beat.h"
#include "delivery/delivery.h"
#include "http/post.h"

#define STALL_MS 20000
#define TOTAL_MS 120000
#define RETRY_MS 1000
#define LOCK_PAUSE_MS 50
#define READ_BUDGET ((size_t)4 << 20)
#define FIRST_TEXT \
    ((size_t)64 << 10)  /* of a run's first batch: more on a slow line would not arrive in time */
#define TROUBLED_MOST 2 /* runs in a row; then it is the dashboard that has a trouble */

struct debt { /* one run that is owed */
    struct run_record record;
    int run_fd, marks_fd, log_fd;
};

extern char **environ;

/* TROUBLED: as OWED, but the dashboard answers, and it may be this run alone that it fails at. */
enum result { PAID, OWED, UNWANTED, REFUSED, TROUBLED };

/* ---- one run ---- */

static int open_in(const char *dir, const char *id, const char *ending, int flags)
{
    AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%s/%s.%s", dir, id, ending) < 0)
        return -1;
    return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

static void debt_close(struct debt *debt)
{
    close_fd(&debt->run_fd);
    close_fd(&debt->marks_fd);
    close_fd(&debt->log_fd);
    run_record_free(&debt->record);
}

/* Waits for whoever delivers it now. 0, or -1 when that takes too long. */
static int lock_debt(const struct debt *debt, int64_t until_ms)
{
    while (debt->marks_fd >= 0 && run_delivery_lock(debt->marks_fd) < 0) {
        if (errno != EWOULDBLOCK || monotonic_ms() >= until_ms)
            return -1;
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return 0;
}

static uint64_t file_size(int fd)
{
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

static bool is_owed(const char *dir, const char *id)
{
    struct run_record record;
    bool owed;

    if (run_record_read(dir, id, &record) < 0)
        return errno != ENOENT && errno != EBADMSG &&
               errno != EFBIG; /* it may be, once it can be read */
    owed = run_owed(&record);
    run_record_free(&record);
    return owed;
}

/* Opens and locks a run, and reads its record again: another may just have delivered it. OWED: it
   is this process's to deliver; PAID: nothing to do; REFUSED: it could not be had. */
static enum result debt_open(struct debt *debt, const char *dir, const char *id, int64_t until_ms)
{
    *debt = (struct debt){.run_fd = -1, .marks_fd = -1, .log_fd = -1};
    if (!is_owed(dir, id))
        return PAID;
    debt->run_fd = open_in(dir, id, "run", O_RDWR);
    debt->marks_fd = open_in(dir, id, "marks", O_RDONLY);
    if (debt->run_fd < 0 || lock_debt(debt, until_ms) < 0)
        return REFUSED;
    if (run_record_read(dir, id, &debt->record) < 0)
        return PAID; /* removed meanwhile */
    if (!run_owed(&debt->record))
        return PAID;
    if (debt->record.info.log_path)
        debt->log_fd =
            open(debt->record.info.log_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (debt->log_fd >= 0 && !is_file(debt->log_fd))
        close_fd(&debt->log_fd); /* a FIFO that somebody reads: it has nothing for us */
    return OWED;
}

struct payment {
    const struct config *config;
    struct post post;
    struct delivery delivery;
    struct debt *debt;
    struct problems *problems;
    uint64_t most;      /* lines that the dashboard had at once */
    int64_t sent_ms;    /* monotonic, as the next */
    int64_t give_up_ms; /* moved on when it has more than ever */
    int status;         /* of the last answer; 0: none came */
};

static void record_ack(struct payment *payment, bool delivered, bool refused)
{
    struct run_ack ack = delivery_ack(&payment->delivery);

    ack.delivered = delivered;
    ack.refused = refused;
    (void)run_ack_write(payment->debt->run_fd,
                        &ack); /* else it is delivered again, which changes nothing */
}

static int64_t timeout_ms(const struct payment *payment)
{
    return (int64_t)payment->config->flush_timeout_s * 1000;
}

static void extend(struct payment *payment)
{
    payment->most = delivery_acked(&payment->delivery);
    payment->give_up_ms = monotonic_ms() + timeout_ms(payment);
}

/* Batches grow where they are quick. */
static void choose_size(struct payment *payment)
{
    struct delivery *delivery = &payment->delivery;

    if ((monotonic_ms() - payment->sent_ms) * 4 > timeout_ms(payment))
        return;
    delivery->text_max *= 2;
    if (delivery->text_max > delivery->text_most)
        delivery->text_max = delivery->text_most;
}

/* Posts and waits for the answer, or NULL when it is time to give up. */
static const struct client_answer *exchange(struct payment *payment, const struct json_out *body)
{
    const struct client_answer *answer = NULL;
    int pause;

    while ((pause = backoff_left(&payment->post.backoff)) > 0) {
        if (monotonic_ms() + pause > payment->give_up_ms)
            return NULL;
        (void)poll(NULL, 0, pause);
    }
    if (!post_start(&payment->post, body->bytes, body->size, STALL_MS, TOTAL_MS))
        return NULL;
    payment->sent_ms = monotonic_ms();
    while (!answer && monotonic_ms() < payment->give_up_ms)
        answer = client_wait(payment->post.client, -1, 200, NULL);
    payment->status = answer ? answer->status : 0;
    return answer;
}

/* What to do after an answer: PAID go on, OWED give up for now, UNWANTED also with other runs of
 * this host, REFUSED for ever. */
static enum result heed(struct payment *payment, enum delivery_verdict verdict,
                        const struct client_answer *answer)
{
    struct post *post = &payment->post;

    switch (verdict) {
    case DELIVERY_GO_ON:
    case DELIVERY_DONE:
        backoff_reset(&post->backoff);
        token_set_accepted(&post->tokens);
        record_ack(payment, false, false);
        choose_size(payment);
        if (verdict == DELIVERY_DONE || delivery_acked(&payment->delivery) > payment->most)
            extend(payment);
        if (payment->delivery.wait_ms > 0)
            backoff_set(&post->backoff, payment->delivery.wait_ms);
        return PAID;
    case DELIVERY_RETRY:
        post_failed(post, answer, RETRY_MS);
        return PAID;
    case DELIVERY_WAIT:
        backoff_set(&post->backoff, payment->delivery.wait_ms);
        return PAID;
    case DELIVERY_DENIED:
        return post_denied(post, answer->status) ? PAID : UNWANTED;
    case DELIVERY_ABSENT:
        problem_once(payment->problems, PROBLEM_ABSENT, "the dashboard takes no logs (%d)",
                     answer->status);
        return UNWANTED;
    case DELIVERY_STOP:
        record_ack(payment, false, true);
        return REFUSED;
    }
    return OWED;
}

static enum result deliver_lines(struct payment *payment)
{
    struct delivery *delivery = &payment->delivery;

    for (;;) {
        const struct client_answer *answer;
        enum delivery_verdict verdict;
        enum result result;
        int64_t start_ms = monotonic_ms();

        while (delivery_read(delivery, READ_BUDGET, false))
            ;
        payment->give_up_ms +=
            monotonic_ms() - start_ms; /* a long log is not the network's fault */
        if (!delivery_build(delivery) || !(answer = exchange(payment, &delivery->body)))
            return OWED;
        verdict = delivery_take(delivery, answer);
        if (delivery->problem[0])
            problem_once(payment->problems, PROBLEM_REFUSED, "%s", delivery->problem);
        result = heed(payment, verdict, answer);
        if (result != PAID || verdict == DELIVERY_DONE)
            return result;
    }
}

static enum result tell_lost(struct payment *payment)
{
    struct json_out body = {0};
    struct post *post = &payment->post;
    const struct client_answer *answer;
    enum result result = OWED;

    snprintf(post->path, sizeof post->path, "/api/hosts/%s/heartbeat",
             payment->debt->record.info.host);
    while (beat_write(&body, BEAT_LOST, &payment->debt->record.info, NULL, NULL,
                      payment->delivery.redactor, INT32_MAX, 0) &&
           (answer = exchange(payment, &body))) {
        if (answer->status == 200 ||
            (answer->status >= 400 && answer->status < 500 && answer->status != 429)) {
            result = PAID; /* a dashboard without heartbeats has all that it can take */
            break;
        }
        post_failed(post, answer, RETRY_MS);
    }
    json_free(&body);
    return result;
}

static void source_of(struct source *source, const struct debt *debt)
{
    const struct run_record *record = &debt->record;
    uint64_t size = file_size(debt->log_fd);

    if (record->end.known && record->end.log_bytes < size)
        size = record->end.log_bytes; /* a log of the caller's choice may hold more than this run */
    source_open(source, debt->log_fd, debt->marks_fd, NULL, size, record->info.rows,
                record->info.cols, record->info.started_ms);
}

/* That the dashboard answers so again and again says nothing of other runs. */
static bool is_about_the_run(int status)
{
    return status >= 500 || status == 408 || status == 409;
}

/* *failed: with which status, where the dashboard did. */
static enum result pay(const struct config *config, struct debt *debt, struct problems *problems,
                       int *failed)
{
    struct payment payment = {.config = config, .debt = debt, .problems = problems};
    struct redactor *redactor = redactor_new(debt->record.info.secrets, environ);
    struct source source;
    enum result result = OWED;

    source_of(&source, debt);
    if (redactor &&
        post_open(&payment.post, config, debt->record.info.host, "logs", problems) == 0) {
        redactor_add(redactor, payment.post.tokens.file);
        redactor_add(redactor, payment.post.tokens.variable);
        if (delivery_open(&payment.delivery, &debt->record.info, redactor, &source,
                          &debt->record.ack) == 0) {
            delivery_output_ends(&payment.delivery, &debt->record.end);
            payment.delivery.text_max = FIRST_TEXT;
            extend(&payment);
            result = deliver_lines(&payment);
            if (result == PAID && !debt->record.end.known)
                result = tell_lost(&payment);
            if (result == PAID)
                record_ack(&payment, true, false);
            delivery_close(&payment.delivery);
        }
        post_close(&payment.post);
    }
    redactor_free(redactor);
    if (result != OWED || !is_about_the_run(payment.status))
        return result;
    *failed = payment.status;
    return TROUBLED;
}

/* ---- all of them ---- */

/* What need not be tried again: where the dashboard cannot be reached, or fails at one run after
   the other, the rest is only counted; where it does not want what one host has (the name was
   changed, and with it the token), that host's. */
struct round {
    bool away;
    int troubled; /* in a row */
    int status;   /* with which the dashboard failed last; 0: it did not */
    char unwanted[HOST_ID_SIZE];
};

static bool still_owed(const struct config *config, struct debt *debt, struct problems *problems,
                       struct round *round)
{
    const char *host = debt->record.info.host;
    enum result result;

    if (round->away || (host[0] && strcmp(host, round->unwanted) == 0))
        return true;
    result = pay(config, debt, problems, &round->status);
    round->troubled = result == TROUBLED ? round->troubled + 1 : 0;
    if (result == OWED)
        round->status = 0;
    round->away = result == OWED || round->troubled == TROUBLED_MOST;
    if (result == UNWANTED)
        snprintf(round->unwanted, sizeof round->unwanted, "%s", host);
    return result == OWED || result == UNWANTED || result == TROUBLED;
}

static char *state_dir(const struct config *config)
{
    return config->state_dir ? strdup(config->state_dir) : run_dir();
}

/* The runs that there are, oldest first, without `except`. NULL when they cannot be listed. */
static char **list_runs(const char *dir, const char *except)
{
    char **ids = dir ? run_record_list(dir) : NULL, **to = ids;

    for (char **id = ids; id && *id; id++)
        if (except && strcmp(*id, except) == 0)
            free(*id);
        else
            *to++ = *id;
    if (to)
        *to = NULL;
    return ids;
}

bool spool_owes(const struct config *config, const char *except)
{
    AUTO_FREE char *dir = state_dir(config);
    char **ids = list_runs(dir, except);
    bool owes = false;

    for (size_t i = 0; ids && ids[i]; i++) {
        owes = owes || is_owed(dir, ids[i]);
        free(ids[i]);
    }
    free(ids);
    return owes;
}

static void say_what_is_owed(struct problems *problems, const struct round *round, size_t owed)
{
    const char *what = owed == 1 ? "run is" : "runs are";

    if (round->status)
        problem_once(problems, PROBLEM_OWED, "the dashboard fails (%d): %zu %s still owed",
                     round->status, owed, what);
    else
        problem_once(problems, PROBLEM_OWED,
                     "the dashboard could not be reached: %zu %s still owed", owed, what);
}

int spool_deliver(const struct config *config, bool quiet, const char *except)
{
    struct problems problems = {.fd = STDERR_FILENO, .said = quiet ? ~0U : 0};
    int64_t until_ms = monotonic_ms() + (int64_t)config->flush_timeout_s * 1000;
    AUTO_FREE char *dir = state_dir(config);
    char **ids = list_runs(dir, except);
    struct round round = {0};
    size_t owed = 0;

    for (size_t i = 0; ids && ids[i]; i++) {
        struct debt debt;
        enum result result = debt_open(&debt, dir, ids[i], until_ms);

        /* REFUSED here: someone else has it; from the dashboard: it is not owed any more. */
        if (result == REFUSED || (result == OWED && still_owed(config, &debt, &problems, &round)))
            owed++;
        debt_close(&debt);
        free(ids[i]);
    }
    free(ids);
    if (owed > 0 && problems.said == 0)
        say_what_is_owed(&problems, &round, owed);
    return owed > 0;
}

void spool_prune(const struct config *config)
{
    AUTO_FREE char *dir = state_dir(config);

    if (dir)
        run_prune(dir, config->keep_runs, config->keep_ms, config->keep_bytes);
}

int flush_main(const struct config *config)
{
    if (!config->url) {
        fputs("nixfleet-run: no dashboard is configured (--url or NIXFLEET_URL)\n", stderr);
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail */
    return spool_deliver(config, false, NULL);
}
