/* Reads the output of a run into lines, redacts and digests them, and queues the lines that a
   dashboard does not have yet. */
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../common/hex.h"
#include "../../common/hyperlink.h"
#include "../../common/io.h"
#include "../../common/json_read.h"
#include "delivery_internal.h"

#define READ_SIZE ((size_t)64 << 10)
#define RECORD_READ_SIZE ((size_t)64 << 10)

/* ---- final lines ---- */

static void digest_all(struct delivery *delivery)
{
    EVP_DigestUpdate(delivery->digest, delivery->undigested, delivery->undigested_size);
    delivery->undigested_size = 0;
}

/* A call of the library for each short line would take a tenth of all time. */
static void digest(struct delivery *delivery, const char *text, size_t length)
{
    if (delivery->left_out) /* after left-out lines, no digest is sent */
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

bool delivery_digest(struct delivery *delivery, char hex[DELIVERY_DIGEST_HEX_SIZE])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok;

    digest_all(delivery);
    ok = copy && EVP_MD_CTX_copy_ex(copy, delivery->digest) == 1 &&
         EVP_DigestFinal_ex(copy, bytes, &size) == 1;
    if (ok)
        hex_encode(bytes, size, hex);
    EVP_MD_CTX_free(copy);
    return ok && size > 0;
}

static void prepared_drop(struct prepared *prepared)
{
    prepared->from = prepared->end = 0;
}

const char *delivery_leave_out_links(const struct delivery *delivery, const char *text,
                                     size_t *length)
{
    if (!delivery->without_links || *length > TRANSCRIPT_LINE_MAX * 2)
        return text;
    *length = hyperlinks_leave_out(delivery->without_links, text, *length);
    return delivery->without_links;
}

bool delivery_refuse_links(struct delivery *delivery)
{
    struct line_queue *queue = &delivery->queue;

    if (!(delivery->without_links = malloc(TRANSCRIPT_LINE_MAX * 2)))
        return false;
    if (line_queue_size(queue) > 0)
        queue->end = queue->start + hyperlinks_leave_out(queue->bytes + queue->start,
                                                         queue->bytes + queue->start,
                                                         line_queue_size(queue));
    prepared_drop(&delivery->next);
    delivery->left_out = true;
    return true;
}

static void release(struct delivery *delivery, const char *text, size_t length)
{
    uint64_t number = delivery->released++;

    text = delivery_leave_out_links(delivery, text, &length);
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

/* Releases several lines at once. False if they must be released one by one: the dashboard has some
 * of them already, one of them is the cut line, or memory is short. */
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

/* Releases the held line, now that the next line is known (NULL: there is none). Returns how much
 * of the next line is covered. */
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

int delivery_restart(struct delivery *delivery, uint64_t resume)
{
    const struct run_info *info = delivery->info;

    transcript_free(delivery->transcript);
    delivery->transcript =
        transcript_new(info->rows, info->cols, info->name,
                       &(struct transcript_sink){delivery, take_final, take_finals, true});
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
    delivery->known_bytes = 0;
    delivery->derivation_acks.count = delivery->derivation_acks.sent_count = 0;
    delivery->record_offset = 0; /* nix's internal log is read again from its beginning */
    build_logs_restart(&delivery->build_logs);
    delivery->end_told = false;
    prepared_drop(&delivery->next);
    return 0;
}

int delivery_open(struct delivery *delivery, const struct run_info *info, struct redactor *redactor,
                  const struct source *source, const struct run_ack *ack)
{
    *delivery = (struct delivery){.info = info,
                                  .redactor = redactor,
                                  .source = *source,
                                  .nix = {.memory_fd = -1, .disk_fd = -1},
                                  .has = ack->lines + ack->more,
                                  .acked_bytes = ack->bytes,
                                  .refusals.most = UINT64_MAX,
                                  .text_max = DELIVERY_TEXT_MAX,
                                  .text_most = DELIVERY_TEXT_MAX};
    text_reserve(&delivery->body, DELIVERY_BODY_MAX);
    delivery->digest = EVP_MD_CTX_new();
    delivery->held = malloc(TRANSCRIPT_LINE_MAX * 2);
    if (delivery->digest && delivery->held && delivery_restart(delivery, ack->lines) == 0)
        return 0;
    delivery_close(delivery);
    errno = ENOMEM;
    return -1;
}

void delivery_read_record(struct delivery *delivery, const char *dir, const char *id)
{
    nix_source_open(&delivery->nix, delivery->source.page, dir, id);
}

void delivery_close(struct delivery *delivery)
{
    transcript_free(delivery->transcript);
    EVP_MD_CTX_free(delivery->digest);
    line_queue_free(&delivery->queue);
    time_runs_free(&delivery->times);
    text_free(&delivery->body);
    text_free(&delivery->next.text);
    free(delivery->held);
    free(delivery->without_links);
    free(delivery->derivation_acks.version);
    build_logs_restart(&delivery->build_logs);
    free(delivery->changes);
    nix_source_close(&delivery->nix);
    *delivery = (struct delivery){0};
}

/* ---- reading ---- */

/* The dashboard may already have lines from the lost part. These lines must not be overwritten, so
 * the next line gets the number after them. */
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

/* Handles `missing` bytes of output before the source's position. If the dashboard has some of
 * these bytes, or some of the output after them, this output is not sent again. */
static void note_missing(struct delivery *delivery, uint64_t missing)
{
    const char *why = delivery->log_problem;
    uint64_t from = source_position(&delivery->source) - missing;
    uint64_t known = delivery->acked_bytes > from ? delivery->acked_bytes - from : 0;
    char line[192];
    int length;

    pass_over_known_lines(delivery);
    if (known >= missing) {
        delivery->known_bytes = known - missing;
        return;
    }
    length = snprintf(line, sizeof line,
                      "\r\n[nixfleet-run: %llu bytes of output were not kept%s%s]\r\n",
                      (unsigned long long)(missing - known), why ? ": " : "", why ? why : "");
    transcript_feed(delivery->transcript, line, (size_t)length);
}

/* Feeds output, without the bytes at its start that the dashboard already has. */
static void feed(struct delivery *delivery, const char *bytes, size_t size)
{
    size_t known = size < delivery->known_bytes ? size : (size_t)delivery->known_bytes;

    delivery->known_bytes -= known;
    transcript_feed(delivery->transcript, bytes + known, size - known);
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

/* Notes that the end of the log is missing: the log was removed or cut, its disk was full, or the
 * log is not a file. */
static void note_missing_end(struct delivery *delivery)
{
    struct source *source = &delivery->source;
    uint64_t missing = delivery->end.bytes - source->offset;

    if (delivery->end.bytes <= source->offset)
        return;
    source->offset = delivery->end.bytes;
    source->lossy = true;
    note_missing(delivery, missing);
}

/* A lost run whose log is shorter than it was: the machine lost power before the disk had all of
 * it. Only the dashboard has the end. */
static void keep_what_only_the_dashboard_has(struct delivery *delivery)
{
    bool shorter = source_position(&delivery->source) < delivery->acked_bytes ||
                   transcript_line_count(delivery->transcript) < delivery->had;

    if (delivery->end.known || delivery->had == 0 || !shorter)
        return;
    delivery->resume = delivery->synced = delivery->had;
    delivery->changed = UINT64_MAX;
    delivery->left_out = true;
    line_queue_drop(&delivery->queue, delivery->had);
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
    keep_what_only_the_dashboard_has(delivery);
    delivery->done = true;
}

/* Makes space in a full queue if the backlog is over its limit. */
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

/* nix's internal log has no times. A record that is read while the run lives gets the present time;
 * after the end of the command, it gets the time of the end. */
static int64_t record_time(const struct delivery *delivery)
{
    if (!delivery->source.page)
        return -1;
    return delivery->end.known ? delivery->end.wall_ms : wall_ms();
}

/* Reads what nix has appended to its internal log. True if there may be more. */
static bool read_record(struct delivery *delivery)
{
    char bytes[RECORD_READ_SIZE];
    size_t n = nix_source_read(&delivery->nix, &delivery->record_offset, bytes, sizeof bytes);

    if (n == 0)
        return false;
    transcript_time(delivery->transcript, record_time(delivery));
    transcript_record(delivery->transcript, bytes, n);
    return true;
}

/* As delivery_read, without the logs of builders. */
static bool read_output(struct delivery *delivery, size_t budget, bool may_skip)
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
            if (read_record(delivery)) {
                budget -= budget < RECORD_READ_SIZE ? budget : RECORD_READ_SIZE;
                continue;
            }
            if (delivery->output_over)
                finish_transcript(delivery);
            return false;
        }
        transcript_time(delivery->transcript, delivery->source.time_ms);
        feed(delivery, bytes, n);
        note_changes(delivery);
        budget -= n;
    }
    return !delivery->done;
}

bool delivery_read(struct delivery *delivery, size_t budget, bool may_skip)
{
    return read_output(delivery, budget, may_skip) || build_logs_read(delivery);
}

void delivery_output_ends(struct delivery *delivery, const struct run_end *end)
{
    delivery->output_over = true;
    delivery->end = *end;
    if (delivery->source.page) /* nix may still write */
        delivery->source.limit = end->bytes;
}

bool delivery_complete(const struct delivery *delivery)
{
    return delivery->done;
}

/* ---- what can be sent ---- */

uint64_t delivery_sendable(const struct delivery *delivery)
{
    return delivery->holding ? delivery->released : transcript_line_count(delivery->transcript);
}

bool delivery_pending(const struct delivery *delivery)
{
    return (delivery->done && !delivery->hold_end && !delivery->end_told) ||
           delivery_sendable(delivery) > delivery->synced || !delivery->described ||
           build_logs_pending(delivery);
}

bool delivery_over(const struct delivery *delivery)
{
    return delivery->end_told && build_logs_done(delivery);
}

uint64_t delivery_acked(const struct delivery *delivery)
{
    return delivery->synced < delivery->released ? delivery->synced : delivery->released;
}

const char *delivery_refusal(const struct delivery *delivery, char *text, size_t size)
{
    const struct refusals *refusals = &delivery->refusals;

    if (refusals->count == 0 && !refusals->additions)
        return NULL;
    if (refusals->count == 0)
        snprintf(text, size, "the dashboard refused the fields besides the lines: %s",
                 refusals->reason);
    else if (refusals->count == 1)
        snprintf(text, size, "the dashboard refused line %llu: %s",
                 (unsigned long long)refusals->line[0] + 1, refusals->reason);
    else
        snprintf(text, size, "the dashboard refused %zu lines, the first is %llu: %s",
                 refusals->count, (unsigned long long)refusals->line[0] + 1, refusals->reason);
    return text;
}

struct run_ack delivery_ack(const struct delivery *delivery)
{
    const struct refusals *refusals = &delivery->refusals;
    uint64_t lines = delivery_acked(delivery);
    uint64_t more = delivery->has > lines ? delivery->has - lines : 0;

    if (refusals->count > 0 && refusals->line[0] < lines) { /* a later try begins at this line */
        lines = refusals->line[0];
        more = delivery->has - lines;
    }
    return (struct run_ack){.lines = lines,
                            .more = more < UINT32_MAX ? (uint32_t)more : 0,
                            .bytes = delivery->acked_bytes};
}

void delivery_drop_synced(struct delivery *delivery)
{
    line_queue_drop(&delivery->queue, delivery->synced);
    time_runs_drop(&delivery->times, delivery_acked(delivery));
}

#define CHANGES_DEPTH 8

void delivery_set_changes(struct delivery *delivery, char *changes)
{
    struct json_problem problem;
    json_object *value = NULL;
    size_t length = 0;
    const char *clean =
        changes ? redact_text(delivery->redactor, changes, strlen(changes), &length) : NULL;

    free(delivery->changes);
    delivery->changes = clean ? strndup(clean, length) : NULL;
    if (delivery->changes &&
        json_read(delivery->changes, length, CHANGES_DEPTH, &value, &problem) < 0) {
        free(delivery->changes);
        delivery->changes = NULL;
    }
    json_object_put(value);
    free(changes);
}
