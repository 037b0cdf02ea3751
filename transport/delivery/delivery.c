/* From bytes to what is owed: reading, redaction, the digest, and which lines a dashboard has. */
#include "delivery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"
#include "../body/describe.h"

#define READ_SIZE ((size_t)64 << 10)
#define PIECE_SIZE ((size_t)8 << 10)      /* of lines that are written into a batch together */
#define LIVE_WITH_MOST ((size_t)64 << 10) /* bytes of a batch in front of lines that can change */
#define SETBACKS_FREE 3 /* how often a dashboard may go back before that is met with pauses */

/* ---- lines as they become final ---- */

static void digest_all(struct delivery *delivery)
{
    EVP_DigestUpdate(delivery->digest, delivery->undigested, delivery->undigested_size);
    delivery->undigested_size = 0;
}

/* A call into the library for each short line would be a tenth of all work. */
static void digest(struct delivery *delivery, const char *text, size_t length)
{
    if (delivery->left_out) /* none is sent then */
        return;
    if (length > sizeof delivery->undigested - delivery->undigested_size)
        digest_all(delivery);
    if (length > sizeof delivery->undigested) {
        EVP_DigestUpdate(delivery->digest, text, length);
        return;
    }
    if (length > 0)
        memcpy(delivery->undigested + delivery->undigested_size, text, length);
    delivery->undigested_size += length;
}

static void release(struct delivery *delivery, const char *text, size_t length)
{
    uint64_t number = delivery->released++;

    if (number > 0)
        digest(delivery, "\n", 1);
    digest(delivery, text, length);
    if (number == delivery->cut_line) {
        delivery->cut_line = UINT64_MAX;
        if (number < delivery->synced)
            delivery->synced = number;
        if (number < delivery->changed)
            delivery->changed = number;
    }
    if (number < delivery->resume)
        delivery->queue.first = number + 1;
    else if (!line_queue_add(&delivery->queue, 1, text, length)) {
        line_queue_restart(&delivery->queue, number + 1);
        delivery->left_out = true;
    }
}

/* The same for several, if that is as simple for all of them. */
static bool release_together(struct delivery *delivery, size_t count, const char *text,
                             size_t length)
{
    uint64_t number = delivery->released;

    if (number < delivery->resume || delivery->cut_line - number < count ||
        !line_queue_add(&delivery->queue, count, text, length))
        return false;
    delivery->released += count;
    if (number > 0)
        digest(delivery, "\n", 1);
    digest(delivery, text, length);
    return true;
}

/* Gives the held line on, now that the one after it (NULL: none) is known. Returns how much of that
 * is covered. */
static size_t release_held(struct delivery *delivery, const char *next, size_t next_length)
{
    size_t covers_next = 0, length;
    const char *text;

    if (!delivery->holding)
        return 0;
    text = redact_line(delivery->redactor, delivery->held, delivery->held_size,
                       delivery->held_covered, next, next_length, &covers_next, &length);
    delivery->holding = false;
    release(delivery, text, length);
    return covers_next;
}

static void take_final(void *context, uint64_t number, const char *text, size_t length)
{
    struct delivery *delivery = context;
    size_t covered = release_held(delivery, text, length);
    size_t out_length;

    (void)number;
    if (length >= REDACT_LONG && length <= TRANSCRIPT_LINE_MAX * 2) {
        memcpy(delivery->held, text, length);
        delivery->held_size = length;
        delivery->held_covered = covered;
        delivery->holding = true;
        return;
    }
    text = redact_line(delivery->redactor, text, length, covered, NULL, 0, NULL, &out_length);
    release(delivery, text, out_length);
}

_Static_assert(TRANSCRIPT_PLAIN_MAX < REDACT_LONG, "none of them is long");

static void take_finals(void *context, uint64_t number, size_t count, const char *text,
                        size_t length)
{
    struct delivery *delivery = context;
    const char *end = text + length, *lf;

    if (!delivery->holding && redact_needless(delivery->redactor, text, length) &&
        release_together(delivery, count, text, length))
        return;
    for (; (lf = memchr(text, '\n', (size_t)(end - text))); text = lf + 1)
        take_final(context, number++, text, (size_t)(lf - text));
    take_final(context, number, text, (size_t)(end - text));
}

/* ---- life ---- */

static void prepared_drop(struct prepared *prepared)
{
    prepared->from = prepared->end = 0;
}

/* Starts from the first byte again; lines below resume are known to be at the dashboard. */
static int restart(struct delivery *delivery, uint64_t resume)
{
    const struct run_info *info = delivery->info;

    transcript_free(delivery->transcript);
    delivery->transcript =
        transcript_new(info->rows, info->cols, info->name,
                       &(struct transcript_sink){delivery, take_final, take_finals});
    if (!delivery->transcript || EVP_DigestInit_ex(delivery->digest, EVP_sha256(), NULL) != 1)
        return -1;
    source_rewind(&delivery->source, info->rows, info->cols, info->started_ms);
    line_queue_restart(&delivery->queue, 0);
    time_runs_restart(&delivery->times, resume);
    delivery->released = delivery->undigested_size = 0;
    delivery->holding = false;
    delivery->resume = delivery->synced = resume;
    delivery->had = delivery->has;
    delivery->changed = delivery->cut_line = UINT64_MAX;
    delivery->left_out = false;
    delivery->done = false;
    prepared_drop(&delivery->next);
    return 0;
}

int delivery_open(struct delivery *delivery, const struct run_info *info, struct redactor *redactor,
                  const struct source *source, const struct run_ack *ack)
{
    *delivery = (struct delivery){.info = info,
                                  .redactor = redactor,
                                  .source = *source,
                                  .has = ack->lines + ack->more,
                                  .text_max = DELIVERY_TEXT_MAX,
                                  .text_most = DELIVERY_TEXT_MAX};
    json_reserve(&delivery->body, DELIVERY_BODY_MAX);
    delivery->digest = EVP_MD_CTX_new();
    delivery->held = malloc(TRANSCRIPT_LINE_MAX * 2);
    if (delivery->digest && delivery->held && restart(delivery, ack->lines) == 0)
        return 0;
    delivery_close(delivery);
    errno = ENOMEM;
    return -1;
}

void delivery_close(struct delivery *delivery)
{
    transcript_free(delivery->transcript);
    EVP_MD_CTX_free(delivery->digest);
    line_queue_free(&delivery->queue);
    time_runs_free(&delivery->times);
    json_free(&delivery->body);
    json_free(&delivery->next.text);
    free(delivery->held);
    *delivery = (struct delivery){0};
}

/* ---- reading ---- */

/* Of what is missing the dashboard may have lines, which nobody else has: what comes next is none
 * of them, nor may it take their place. */
static void pass_over_known_lines(struct delivery *delivery)
{
    static const char reset[] = "\r\n\033c", line[] = ".\r\n";

    if (transcript_line_count(delivery->transcript) >= delivery->had)
        return;
    delivery->resume = delivery->synced = delivery->had;
    delivery->changed = UINT64_MAX;
    line_queue_drop(&delivery->queue, delivery->had);
    transcript_feed(delivery->transcript, reset, sizeof reset - 1);
    for (uint64_t count = transcript_line_count(delivery->transcript); count < delivery->had;
         count++)
        transcript_feed(delivery->transcript, line, sizeof line - 1);
}

static void note_missing(struct delivery *delivery, uint64_t missing)
{
    char line[96];
    int length =
        snprintf(line, sizeof line, "\r\n[nixfleet-run: %llu bytes of output were not kept]\r\n",
                 (unsigned long long)missing);

    pass_over_known_lines(delivery);
    transcript_feed(delivery->transcript, line, (size_t)length);
}

static void note_changes(struct delivery *delivery)
{
    uint64_t changed = transcript_take_changed(delivery->transcript);

    time_runs_set_end(&delivery->times, transcript_line_count(delivery->transcript),
                      delivery->source.time_ms);
    if (changed < delivery->synced && changed >= delivery->resume)
        delivery->synced = changed;
    if (changed < delivery->changed && changed >= delivery->resume)
        delivery->changed = changed;
}

/* The log may end before the output did: it was removed or cut off, its disk was full, or it never
 * was a file. */
static void note_missing_end(struct delivery *delivery)
{
    struct source *source = &delivery->source;

    if (delivery->end.bytes <= source->offset)
        return;
    note_missing(delivery, delivery->end.bytes - source->offset);
    source->offset = delivery->end.bytes;
    source->lossy = true;
}

static void finish_transcript(struct delivery *delivery)
{
    note_missing_end(delivery);
    if (delivery->end.known)
        transcript_end(delivery->transcript, delivery->end.by_signal, delivery->end.code);
    else
        transcript_end_unknown(delivery->transcript);
    release_held(delivery, NULL, 0);
    note_changes(delivery);
    delivery->done = true;
}

/* Makes room in a full queue if the backlog is over its bound. */
static bool leave_out(struct delivery *delivery)
{
    uint64_t half = delivery->queue.first + delivery->queue.count / 2 + 1;

    if (source_left(&delivery->source) + line_queue_size(&delivery->queue) <= DELIVERY_BACKLOG_MAX)
        return false;
    line_queue_drop(&delivery->queue, half);
    time_runs_drop(&delivery->times, delivery->queue.first);
    delivery->left_out = true;
    return true;
}

bool delivery_read(struct delivery *delivery, size_t budget, bool may_skip)
{
    static const size_t most = READ_SIZE;
    char bytes[READ_SIZE];

    while (budget > 0 && !delivery->done) {
        uint32_t rows = delivery->source.rows, cols = delivery->source.cols;
        uint64_t missing;
        size_t n;

        if (line_queue_size(&delivery->queue) > DELIVERY_QUEUE_MAX &&
            !(may_skip && leave_out(delivery)))
            return false;
        n = source_read(&delivery->source, bytes, budget < most ? budget : most, &missing);
        if (delivery->source.rows != rows || delivery->source.cols != cols)
            transcript_resize(delivery->transcript, delivery->source.rows, delivery->source.cols);
        if (missing > 0)
            note_missing(delivery, missing);
        if (n == 0 && missing == 0) {
            if (delivery->output_over)
                finish_transcript(delivery);
            return false;
        }
        transcript_feed(delivery->transcript, bytes, n);
        note_changes(delivery);
        budget -= n;
    }
    return !delivery->done;
}

void delivery_output_ends(struct delivery *delivery, const struct run_end *end)
{
    delivery->output_over = true;
    delivery->end = *end;
}

bool delivery_complete(const struct delivery *delivery)
{
    return delivery->done;
}

/* ---- sending ---- */

/* Lines that may be shown now: all, but those behind a long one whose successor is not known. */
static uint64_t sendable(const struct delivery *delivery)
{
    return delivery->holding ? delivery->released : transcript_line_count(delivery->transcript);
}

bool delivery_pending(const struct delivery *delivery)
{
    return delivery->done || sendable(delivery) > delivery->synced || !delivery->described;
}

uint64_t delivery_acked(const struct delivery *delivery)
{
    return delivery->synced < delivery->released ? delivery->synced : delivery->released;
}

struct run_ack delivery_ack(const struct delivery *delivery)
{
    uint64_t lines = delivery_acked(delivery);
    uint64_t more = delivery->has > lines ? delivery->has - lines : 0;

    return (struct run_ack){.lines = lines, .more = more < UINT32_MAX ? (uint32_t)more : 0};
}

/* ---- the batch ---- */

/* Of what the phase knows. */
static void put_cut(struct delivery *delivery, const char *key, const char *text)
{
    size_t length;
    const char *clean = redact_cut_text(delivery->redactor, text, PHASE_TEXT_SIZE, &length);

    json_string(&delivery->body, key, clean, length);
}

/* The end (an LF) of the lines that begin at `at` and are taken together: as many as fit in front
 * of limit, at least one. The queue ends with an LF. */
static const char *piece_end(const char *at, const char *limit, const char *end)
{
    for (const char *lf = limit; lf > at; lf--)
        if (lf[-1] == '\n')
            return lf - 1;
    return memchr(limit, '\n', (size_t)(end - limit));
}

/* Counts the lines from at to the LF at *lf; with more than `most` of them, the last of those
 * becomes *lf. */
static uint64_t count_lines(const char *at, const char **lf, uint64_t most)
{
    uint64_t count = count_lf(at, (size_t)(*lf - at) + 1);

    if (count <= most)
        return count;
    for (count = 0; count < most; at++)
        count += *at == '\n';
    *lf = at - 1;
    return count;
}

/* Appends queued lines, at most `most`, from `skip` bytes into the queue on, to the open text.
 * Returns how many; *queued: their bytes in the queue. */
static uint64_t put_queued(const struct delivery *delivery, struct json_out *out, size_t skip,
                           uint64_t most, size_t *queued)
{
    const struct line_queue *queue = &delivery->queue;
    const char *from = queue->bytes + queue->start + skip, *end = queue->bytes + queue->end;
    const char *at = from;
    uint64_t lines = 0;

    while (at < end && lines < most) {
        size_t room = at - from <= (ptrdiff_t)delivery->text_max
                          ? delivery->text_max + 1 - (size_t)(at - from)
                          : 0;
        size_t left = (size_t)(end - at), piece = room < PIECE_SIZE ? room : PIECE_SIZE;
        const char *lf = piece_end(at, at + (piece < left ? piece : left), end);
        uint64_t count = count_lines(at, &lf, most - lines);

        if (lines > 0 && ((size_t)(lf - from) > delivery->text_max ||
                          out->size + (size_t)(lf - at) * 2 > DELIVERY_BODY_MAX - 200000))
            break;
        if (lines > 0)
            json_text_piece(out, "\n", 1);
        json_text_piece(out, at, (size_t)(lf - at));
        lines += count;
        at = lf + 1;
    }
    *queued = (size_t)(at - from);
    return lines;
}

/* Appends what is prepared, if it is what comes next and no more than `most` lines. */
static uint64_t put_prepared(struct delivery *delivery, uint64_t most)
{
    const struct prepared *next = &delivery->next;

    if (next->from != delivery->sent_from || next->from == next->end ||
        next->end - next->from > most || next->text.failed ||
        next->queued > delivery->text_max + 1 || delivery->sent_description)
        return 0;
    json_text_escaped(&delivery->body, next->text.bytes, next->text.size);
    delivery->sent_queued = next->queued;
    return next->end - next->from;
}

void delivery_prepare(struct delivery *delivery)
{
    const struct line_queue *queue = &delivery->queue;
    struct prepared *next = &delivery->next;
    size_t waiting;

    if (next->from == delivery->sent_end || delivery->sent_queued == 0 ||
        queue->first != delivery->sent_from)
        return;
    waiting = line_queue_size(queue) - delivery->sent_queued;
    if (waiting == 0 || (waiting < delivery->text_max && !delivery->done))
        return;
    json_reserve(&next->text, DELIVERY_BODY_MAX);
    json_reset(&next->text);
    next->from = next->end = delivery->sent_end;
    next->end +=
        put_queued(delivery, &next->text, delivery->sent_queued, UINT64_MAX, &next->queued);
}

/* Appends a line that can still change. False if it must not be shown yet. */
static bool put_live(struct delivery *delivery, uint64_t number, bool first)
{
    size_t length, safe, shown;
    const char *text = transcript_live_line(delivery->transcript, number, &length);

    if (!text)
        text = "", length = 0;
    if (length >= REDACT_LONG)
        return false;
    if (!first)
        json_text_piece(&delivery->body, "\n", 1);
    safe = redact_safe_length(delivery->redactor, text, length);
    if (safe < length && number < delivery->cut_line)
        delivery->cut_line = number;
    shown = safe;
    text = redact_text(delivery->redactor, text, safe, &shown);
    json_text_piece(&delivery->body, text, shown);
    if (safe < length && memchr(text, '\033', shown))
        json_text_piece(&delivery->body, "\033[m", 3);
    return true;
}

static void put_times(struct delivery *delivery, uint64_t from, uint64_t end)
{
    const struct time_runs *times = &delivery->times;
    uint64_t at = times->first;

    json_open(&delivery->body, "times", '[');
    for (size_t i = 0; i < times->count && from < end; i++) {
        const struct time_run *run = &times->run[times->start + i];
        uint64_t run_end = at + run->count;
        uint64_t until = run_end < end ? run_end : end;

        at = run_end;
        if (until <= from)
            continue;
        json_open(&delivery->body, NULL, '[');
        json_int(&delivery->body, NULL, (int64_t)(until - from));
        json_int(&delivery->body, NULL, run->ms);
        json_close(&delivery->body, ']');
        from = until;
    }
    json_close(&delivery->body, ']');
}

static void put_names(struct delivery *delivery, const char *key, const struct phase_names *names)
{
    if (names->count == 0)
        return;
    json_open(&delivery->body, key, '[');
    for (size_t i = 0; i < names->count; i++)
        put_cut(delivery, NULL, names->name[i]);
    json_close(&delivery->body, ']');
}

static void put_digest(struct delivery *delivery)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    digest_all(delivery);
    if (copy && EVP_MD_CTX_copy_ex(copy, delivery->digest) == 1 &&
        EVP_DigestFinal_ex(copy, digest, &size) == 1) {
        for (unsigned i = 0; i < size; i++)
            snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
        json_string(&delivery->body, "digest", hex, (size_t)2 * size);
    }
    EVP_MD_CTX_free(copy);
}

static void put_end(struct delivery *delivery, const struct phase_view *view)
{
    static const char *const outcomes[] = {NULL, "success", "failure", "units_failed"};
    struct json_out *body = &delivery->body;

    json_exit(body, delivery->end.by_signal, delivery->end.code);
    json_time(body, "ended", delivery->end.wall_ms);
    json_int(body, "line_count", (int64_t)delivery->released);
    json_int(body, "byte_count", (int64_t)delivery->end.bytes);
    if (!delivery->left_out && !delivery->source.lossy && delivery->digest_cycles < 3)
        put_digest(delivery);
    if (delivery->end_only)
        return;
    if (outcomes[view->outcome])
        json_string(body, "outcome", outcomes[view->outcome], strlen(outcomes[view->outcome]));
    if (view->error[0]) {
        put_cut(delivery, "error", view->error);
        if (view->error_line >= 0)
            json_int(body, "error_line", view->error_line);
    }
    put_names(delivery, "failed", &view->failed);
    put_names(delivery, "failed_units", &view->failed_units);
}

static void put_phase(struct delivery *delivery, const struct phase_view *view)
{
    struct progress progress = view->progress;
    const char *name = phase_name(view->phase);
    size_t length;
    const char *current = redact_cut_text(delivery->redactor, view->progress.current,
                                          sizeof view->progress.current, &length);

    snprintf(progress.current, sizeof progress.current, "%.*s", (int)length, current);
    if (name[0])
        json_string(&delivery->body, "phase", name, strlen(name));
    json_progress(&delivery->body, &progress);
}

/* After many lines, those that can still change are not worth it while there is more to be read:
 * sent again in another form, they make the dashboard write anew what they stand behind. */
static bool outdated_soon(const struct delivery *delivery, uint64_t at)
{
    return at > delivery->sent_from && delivery->body.size > LIVE_WITH_MOST &&
           source_left(&delivery->source) > 0;
}

/* Writes the lines of the batch as `text`; sets sent_end. */
static void put_lines(struct delivery *delivery)
{
    uint64_t end = sendable(delivery), at = delivery->sent_from;
    uint64_t timed = time_runs_reach(&delivery->times, at, DELIVERY_TIMES_MAX);
    size_t before = delivery->body.size;

    if (end > timed)
        end = timed;
    if (at >= end)
        return;
    json_text_begin(&delivery->body, "text");
    at += put_prepared(delivery, end - at);
    if (at == delivery->sent_from && at < delivery->released)
        at += put_queued(delivery, &delivery->body, 0, end - at, &delivery->sent_queued);
    if (at >= delivery->released && !outdated_soon(delivery, at))
        while (at < end && delivery->body.size - before < delivery->text_max &&
               put_live(delivery, at, at == delivery->sent_from)) {
            delivery->sent_queued = 0;
            at++;
        }
    json_text_end(&delivery->body);
    if (at == delivery->sent_from) /* nothing may be shown yet: no text at all */
        delivery->body.size = before;
    delivery->sent_end = at;
}

/* Of a line that can still change the time is needed again, when it is sent again. */
static void drop_synced(struct delivery *delivery)
{
    line_queue_drop(&delivery->queue, delivery->synced);
    time_runs_drop(&delivery->times, delivery_acked(delivery));
}

bool delivery_build(struct delivery *delivery)
{
    struct json_out *body = &delivery->body;
    const struct phase_view *view = transcript_phase(delivery->transcript);

    drop_synced(delivery);
    delivery->sent_from = delivery->sent_end = delivery->synced;
    if (delivery->queue.first > delivery->synced && delivery->synced < delivery->released)
        delivery->sent_from = delivery->sent_end = delivery->queue.first;
    delivery->sent_skipped = delivery->sent_from - delivery->synced;
    delivery->sent_queued = 0;
    delivery->changed = UINT64_MAX;

    json_reset(body);
    json_open(body, NULL, '{');
    json_string(body, "run", delivery->info->id, strlen(delivery->info->id));
    json_int(body, "from", (int64_t)delivery->sent_from);
    if (delivery->sent_skipped > 0)
        json_int(body, "skipped", (int64_t)delivery->sent_skipped);
    delivery->sent_description = !delivery->described && !delivery->no_description;
    if (delivery->sent_description)
        describe_whole(body, delivery->info, delivery->redactor);
    put_lines(delivery);
    if (delivery->sent_end > delivery->sent_from)
        put_times(delivery, delivery->sent_from, delivery->sent_end);
    put_phase(delivery, view);
    delivery->sent_last = delivery->done && delivery->sent_end >= delivery->released;
    if (delivery->sent_last && delivery->end.known)
        put_end(delivery, view);
    json_close(body, '}');
    return !body->failed;
}

/* ---- answers ---- */

static void problem(struct delivery *delivery, const char *what, const struct batch_answer *answer)
{
    snprintf(delivery->problem, sizeof delivery->problem, "%s%s%s", what,
             answer->error[0] ? ": " : "", answer->error);
}

/* The dashboard has the first `next` lines and nothing else. One that says so again and again is
 * broken, and must not be asked as fast as it can answer. */
static enum delivery_verdict go_back(struct delivery *delivery, uint64_t next)
{
    delivery->has = next;
    if (next >= delivery->queue.first)
        delivery->synced = next < delivery->changed ? next : delivery->changed;
    else if (restart(delivery, next) < 0)
        snprintf(delivery->problem, sizeof delivery->problem, "out of memory");
    return delivery->setbacks++ < SETBACKS_FREE ? DELIVERY_GO_ON : DELIVERY_RETRY;
}

/* A batch without lines leaves there what is behind it. */
static void note_has(struct delivery *delivery, uint64_t next, uint64_t have)
{
    if (delivery->sent_end > delivery->sent_from || delivery->sent_skipped > 0)
        delivery->has = have;
    else if (next < delivery->has)
        delivery->has = next;
}

static enum delivery_verdict accepted(struct delivery *delivery, const struct batch_answer *answer)
{
    uint64_t have = delivery->sent_end;

    if (answer->next < 0)
        return DELIVERY_RETRY; /* something else than a dashboard answered */
    if ((uint64_t)answer->next < have)
        have = (uint64_t)answer->next;
    delivery->wait_ms = answer->wait_ms;
    if (delivery->sent_description)
        delivery->described = true;
    if (have < delivery->sent_from || (have == delivery->sent_from && have < delivery->sent_end))
        return go_back(delivery, have);
    note_has(delivery, (uint64_t)answer->next, have);
    delivery->synced = have < delivery->changed ? have : delivery->changed;
    drop_synced(delivery);
    return delivery->sent_last && delivery->synced == delivery->sent_end ? DELIVERY_DONE
                                                                         : DELIVERY_GO_ON;
}

static enum delivery_verdict conflict(struct delivery *delivery, const struct batch_answer *answer)
{
    if (answer->next < 0 || (uint64_t)answer->next > delivery->sent_from)
        return DELIVERY_RETRY; /* a dashboard that has them has nothing to object to */
    if (delivery->sent_last)
        delivery->digest_cycles++;
    return go_back(delivery, (uint64_t)answer->next);
}

/* This batch will never be taken: on without it. */
static enum delivery_verdict rejected(struct delivery *delivery, const struct batch_answer *answer)
{
    problem(delivery, "the dashboard refused a part of the log", answer);
    if (delivery->sent_description && !delivery->no_description) {
        delivery->no_description = delivery->described = true; /* it may have been that */
        return DELIVERY_GO_ON;
    }
    if (delivery->sent_last && !delivery->end_only) {
        delivery->end_only = true;
        return DELIVERY_GO_ON;
    }
    if (delivery->sent_end == delivery->sent_from)
        return delivery->sent_last ? DELIVERY_STOP : DELIVERY_RETRY;
    delivery->left_out = true;
    line_queue_drop(&delivery->queue, delivery->sent_end);
    if (delivery->sent_end > delivery->released)
        return DELIVERY_RETRY; /* lines that may still change: they will be others */
    return DELIVERY_GO_ON;
}

static enum delivery_verdict too_large(struct delivery *delivery, const struct batch_answer *answer)
{
    if (delivery->sent_end - delivery->sent_from <= 1)
        return rejected(delivery, answer);
    if (delivery->text_max > 1)
        delivery->text_most = delivery->text_max /= 2;
    return DELIVERY_GO_ON;
}

enum delivery_verdict delivery_take(struct delivery *delivery, const struct client_answer *answer)
{
    struct batch_answer said;

    delivery->problem[0] = '\0';
    delivery->wait_ms = 0;
    if (!batch_answer_parse(answer->body ? answer->body : "", answer->size, &said))
        said = (struct batch_answer){.next = -1};
    switch (answer->status) {
    case 200:
    case 201:
    case 202:
        return accepted(delivery, &said);
    case 401:
    case 403:
        return DELIVERY_DENIED;
    case 404:
    case 405:
        return DELIVERY_ABSENT;
    case 409:
        return conflict(delivery, &said);
    case 410:
        return DELIVERY_STOP;
    case 413:
        return too_large(delivery, &said);
    case 408:
    case 425:
        return DELIVERY_RETRY;
    case 429:
    case 503:
        delivery->wait_ms = answer->retry_after_ms;
        return delivery->wait_ms > 0 ? DELIVERY_WAIT : DELIVERY_RETRY;
    default:
        return answer->status >= 400 && answer->status < 500 ? rejected(delivery, &said)
                                                             : DELIVERY_RETRY;
    }
}
