/* Writes the body of a batch: which lines, in which form, with which other fields. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/hyperlink.h"
#include "../../common/io.h"
#include "../body/describe.h"
#include "delivery.h"
#include "delivery_internal.h"

/* bytes of lines that are written into a batch in one call */
#define PIECE_SIZE ((size_t)8 << 10)
/* bytes of lines in a batch that may be followed by lines that can change */
#define LIVE_WITH_MOST ((size_t)64 << 10)

/* Writes a text from the phase, shortened if necessary. */
static void put_cut(struct delivery *delivery, const char *key, const char *text, size_t capacity,
                    size_t shown)
{
    size_t length;
    const char *clean = redact_cut_text(delivery->redactor, text, capacity, shown, &length);

    /* the whole text may be part of a long secret */
    if (length == 0 && *text)
        clean = REDACT_MARK, length = sizeof REDACT_MARK - 1;
    json_string(&delivery->body, key, clean, length);
}

/* The end (an LF) of the lines that begin at `at` and are taken together: as many as fit before
 * limit, at least one. The queue ends with an LF. */
static const char *piece_end(const char *at, const char *limit, const char *end)
{
    for (const char *lf = limit; lf > at; lf--)
        if (lf[-1] == '\n')
            return lf - 1;
    return memchr(limit, '\n', (size_t)(end - limit));
}

/* Counts the lines from at to the LF at *lf. If there are more than `most`, moves *lf to the end of
 * line `most`. */
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

/* Appends up to `most` queued lines, from byte `skip` of the queue on, to the open text. Returns
 * how many. *queued: their bytes in the queue. */
static uint64_t put_queued(const struct delivery *delivery, struct text *out, size_t skip,
                           uint64_t most, size_t *queued)
{
    const struct line_queue *queue = &delivery->queue;
    const char *from = queue->bytes + queue->start + skip, *end = queue->bytes + queue->end;
    const char *at = from;
    uint64_t lines = 0;

    while (at < end && lines < most) {
        size_t space = at - from <= (ptrdiff_t)delivery->text_max
                           ? delivery->text_max + 1 - (size_t)(at - from)
                           : 0;
        size_t left = (size_t)(end - at), piece = space < PIECE_SIZE ? space : PIECE_SIZE;
        const char *lf = piece_end(at, at + (piece < left ? piece : left), end);
        uint64_t count = count_lines(at, &lf, most - lines);

        if (lines > 0 && ((size_t)(lf - from) > delivery->text_max ||
                          out->size + (size_t)(lf - at) * 2 > DELIVERY_BODY_MAX - 200000))
            break;
        if (lines > 0)
            text_escape(out, "\n", 1);
        text_escape(out, at, (size_t)(lf - at));
        lines += count;
        at = lf + 1;
    }
    *queued = (size_t)(at - from);
    return lines;
}

/* Appends the prepared lines if they come next and are at most `most`. Returns how many. */
static uint64_t put_prepared(struct delivery *delivery, uint64_t most)
{
    const struct prepared *next = &delivery->next;

    if (next->from != delivery->sent_from || next->from == next->end ||
        next->end - next->from > most || next->text.failed ||
        next->queued > delivery->text_max + 1 || delivery->sent_description)
        return 0;
    text_add(&delivery->body, next->text.bytes, next->text.size);
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
    text_reserve(&next->text, DELIVERY_BODY_MAX);
    text_reset(&next->text);
    next->from = next->end = delivery->sent_end;
    next->end +=
        put_queued(delivery, &next->text, delivery->sent_queued, UINT64_MAX, &next->queued);
}

/* Ends the colours and the link of a line that was cut. */
static void end_cut_line(struct delivery *delivery, const char *text, size_t length)
{
    static const char no_link[] = HYPERLINK_START HYPERLINK_END;

    if (memmem(text, length, HYPERLINK_START, strlen(HYPERLINK_START)))
        text_escape(&delivery->body, no_link, strlen(no_link));
    if (memchr(text, '\033', length))
        text_escape(&delivery->body, "\033[m", 3);
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
        text_escape(&delivery->body, "\n", 1);
    safe = redact_safe_length(delivery->redactor, text, length);
    if (safe < length && number < delivery->cut_line)
        delivery->cut_line = number;
    shown = safe;
    text = redact_text(delivery->redactor, text, safe, &shown);
    text = delivery_leave_out_links(delivery, text, &shown);
    text_escape(&delivery->body, text, shown);
    if (safe < length)
        end_cut_line(delivery, text, shown);
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

/* bytes that one derivation, or the end of a run, may take */
#define DERIVATION_SIZE ((size_t)32 << 10)

static void put_names(struct delivery *delivery, const char *key, const struct phase_names *names)
{
    if (names->count == 0)
        return;
    json_open(&delivery->body, key, '[');
    for (size_t i = 0; i < names->count; i++)
        put_cut(delivery, NULL, names->name[i], PHASE_TEXT_SIZE, PHASE_TEXT_SHOWN);
    json_close(&delivery->body, ']');
}

static void put_digest(struct delivery *delivery)
{
    char hex[DELIVERY_DIGEST_HEX_SIZE];

    if (delivery_digest(delivery, hex))
        json_string(&delivery->body, "digest", hex, strlen(hex));
}

/* Writes the last phase in which the command worked, for a dashboard that gets the whole run in one
 * batch and so has seen no earlier phase. */
static void put_last_phase(struct text *body, const struct phase_view *view)
{
    size_t i = view->history_count;

    while (i > 0 && view->history[i - 1] >= PHASE_DONE)
        i--;
    if (i > 0) {
        const char *name = phase_name(view->history[i - 1]);

        json_string(body, "last_phase", name, strlen(name));
    }
}

static void put_end(struct delivery *delivery, const struct phase_view *view)
{
    static const char *const outcomes[] = {NULL, "success", "failure", "units_failed"};
    struct text *body = &delivery->body;

    json_exit(body, delivery->end.by_signal, delivery->end.code);
    json_time(body, "ended", delivery->end.wall_ms);
    json_int(body, "line_count", (int64_t)delivery->released);
    json_int(body, "byte_count", (int64_t)delivery->end.bytes);
    if (!delivery->left_out && !delivery->source.lossy && delivery->digest_cycles < 3)
        put_digest(delivery);
    if (delivery->refusals.bare)
        return;
    if (outcomes[view->outcome])
        json_string(body, "outcome", outcomes[view->outcome], strlen(outcomes[view->outcome]));
    put_last_phase(body, view);
    if (view->error[0]) {
        put_cut(delivery, "error", view->error, PHASE_TEXT_SIZE, PHASE_TEXT_SHOWN);
        if (view->error_line >= 0)
            json_int(body, "error_line", view->error_line);
    }
    put_names(delivery, "failed", &view->failed);
    put_names(delivery, "failed_units", &view->failed_units);
    if (delivery->changes)
        json_raw(body, "changes", delivery->changes);
}

/* Makes space for all derivations. The dashboard has no version of a new derivation. */
static bool derivation_acks_reserve(struct derivation_acks *acks, size_t count)
{
    uint32_t *larger;

    if (count <= acks->count)
        return true;
    larger = realloc(acks->version, count * sizeof *larger);
    if (!larger)
        return false;
    acks->version = larger;
    memset(larger + acks->count, 0, (count - acks->count) * sizeof *larger);
    acks->count = count;
    return true;
}

static void put_derivation(struct delivery *delivery, size_t index, const struct derivation *one)
{
    struct text *body = &delivery->body;
    const char *state = derivation_state_name(one->state);

    json_open(body, NULL, '{');
    json_int(body, "n", (int64_t)index);
    put_cut(delivery, "name", one->name, sizeof one->name, sizeof one->name - 1);
    json_string(body, "state", state, strlen(state));
    if (one->started_ms >= 0)
        json_int(body, "started", one->started_ms);
    if (one->ended_ms >= 0)
        json_int(body, "ended", one->ended_ms);
    if (one->machine[0])
        put_cut(delivery, "machine", one->machine, sizeof one->machine, sizeof one->machine - 1);
    if (one->step[0])
        put_cut(delivery, "step", one->step, sizeof one->step, sizeof one->step - 1);
    if (one->line >= 0)
        json_int(body, "line", one->line);
    if (one->lines > 0)
        json_int(body, "lines", one->lines);
    json_close(body, '}');
}

/* Writes the derivations whose present version the dashboard does not have. False if more of them
 * remain. */
static bool put_derivations(struct delivery *delivery)
{
    struct derivation_acks *acks = &delivery->derivation_acks;
    size_t count = transcript_derivation_count(delivery->transcript);
    bool open = false;

    acks->sent_count = 0;
    if (!derivation_acks_reserve(acks, count))
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct derivation *one = transcript_derivation(delivery->transcript, i);

        if (one->version == acks->version[i])
            continue;
        if (acks->sent_count == DELIVERY_DERIVATIONS_MAX ||
            delivery->body.size > DELIVERY_BODY_MAX - DERIVATION_SIZE)
            break;
        if (!open)
            json_open(&delivery->body, "derivations", '[');
        open = true;
        put_derivation(delivery, i, one);
        acks->sent[acks->sent_count].index = (uint32_t)i;
        acks->sent[acks->sent_count++].version = one->version;
    }
    if (open)
        json_close(&delivery->body, ']');
    return acks->sent_count < DELIVERY_DERIVATIONS_MAX &&
           delivery->body.size <= DELIVERY_BODY_MAX - DERIVATION_SIZE;
}

/* Whether the changes fit in the batch. If not, the next batch has the end. */
static bool changes_fit(const struct delivery *delivery)
{
    return !delivery->changes || delivery->refusals.bare ||
           delivery->body.size + strlen(delivery->changes) < DELIVERY_BODY_MAX - DERIVATION_SIZE;
}

static void put_phase(struct delivery *delivery, const struct phase_view *view)
{
    struct progress progress = view->progress;
    const char *name = phase_name(view->phase);
    size_t length;
    const char *current = redact_cut_text(delivery->redactor, view->progress.current,
                                          PHASE_CURRENT_SIZE, PHASE_CURRENT_SHOWN, &length);

    snprintf(progress.current, sizeof progress.current, "%.*s", (int)length, current);
    if (name[0])
        json_string(&delivery->body, "phase", name, strlen(name));
    json_progress(&delivery->body, &progress);
}

/* Lines that can still change are not sent after many other lines while there is more to read. Each
 * time they are sent again, the dashboard would write the lines before them again. */
static bool outdated_soon(const struct delivery *delivery, uint64_t at)
{
    return at > delivery->sent_from && delivery->body.size > LIVE_WITH_MOST &&
           source_left(&delivery->source) > 0;
}

/* The lowest refused line from `at` on; end if there is none below end. */
static uint64_t next_refused(const struct refusals *refusals, uint64_t at, uint64_t end)
{
    for (size_t i = 0; i < refusals->count; i++)
        if (refusals->line[i] >= at && refusals->line[i] < end)
            end = refusals->line[i];
    return end;
}

/* Writes a line in place of one that the dashboard refuses. */
static void put_mark(struct delivery *delivery)
{
    char text[256];
    int length = snprintf(text, sizeof text, "[nixfleet-run: the dashboard refused line %llu: %s]",
                          (unsigned long long)delivery->sent_from + 1, delivery->refusals.reason);

    json_string(&delivery->body, "text", text,
                (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    delivery->sent_end = delivery->sent_from + 1;
    delivery->sent_mark = true;
}

/* Writes the lines of the batch as `text`. Sets sent_end. */
static void put_lines(struct delivery *delivery)
{
    uint64_t end = delivery_sendable(delivery), at = delivery->sent_from;
    uint64_t timed = time_runs_reach(&delivery->times, at, DELIVERY_TIMES_MAX);
    size_t before = delivery->body.size;

    if (end > timed)
        end = timed;
    if (end > at && end - at > delivery->refusals.most)
        end = at + delivery->refusals.most;
    if (at >= end)
        return;
    end = next_refused(&delivery->refusals, at, end);
    if (end == at) {
        put_mark(delivery);
        return;
    }
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
    if (at == delivery->sent_from) /* nothing may be shown yet, so there is no text */
        delivery->body.size = before;
    delivery->sent_end = at;
}

bool delivery_build(struct delivery *delivery)
{
    struct text *body = &delivery->body;
    const struct phase_view *view = transcript_phase(delivery->transcript);
    bool whole = true;

    delivery_drop_synced(delivery);
    delivery->sent_from = delivery->sent_end = delivery->synced;
    if (delivery->queue.first > delivery->synced && delivery->synced < delivery->released)
        delivery->sent_from = delivery->sent_end = delivery->queue.first;
    delivery->sent_skipped = delivery->sent_from - delivery->synced;
    delivery->sent_queued = 0;
    delivery->changed = UINT64_MAX;

    text_reset(body);
    json_open(body, NULL, '{');
    json_string(body, "run", delivery->info->id, strlen(delivery->info->id));
    json_int(body, "from", (int64_t)delivery->sent_from);
    if (delivery->sent_skipped > 0)
        json_int(body, "skipped", (int64_t)delivery->sent_skipped);
    delivery->sent_mark = false;
    delivery->sent_description = !delivery->described && !delivery->refusals.bare;
    if (delivery->sent_description)
        describe_whole(body, delivery->info, delivery->redactor);
    put_lines(delivery);
    if (delivery->sent_end > delivery->sent_from)
        put_times(delivery, delivery->sent_from, delivery->sent_end);
    delivery->derivation_acks.sent_count = 0;
    if (!delivery->refusals.bare) {
        put_phase(delivery, view);
        whole = put_derivations(delivery);
    }
    delivery->sent_bytes =
        delivery->sent_end == delivery_sendable(delivery) && delivery->cut_line == UINT64_MAX
            ? source_position(&delivery->source)
            : 0;
    delivery->sent_last = delivery->done && delivery->sent_end >= delivery->released && whole &&
                          !delivery->hold_end && !delivery->end_told && changes_fit(delivery);
    if (delivery->sent_last && delivery->end.known)
        put_end(delivery, view);
    build_logs_put(delivery);
    json_close(body, '}');
    return !body->failed;
}
