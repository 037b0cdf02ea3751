/* Handles the answer to a batch. */
#include <stdio.h>
#include <string.h>

#include "../http/answer.h"
#include "../http/verdict.h"
#include "delivery.h"
#include "delivery_internal.h"

/* lines; after an accepted batch of this size, the next ones have no limit */
#define REFUSALS_OVER 4096
#define SETBACKS_FREE 3 /* so often a dashboard may go back without a pause */

/* The dashboard has only the first `next` lines. A dashboard that goes back again and again is
 * broken, so each further batch comes after a pause. */
static enum delivery_verdict go_back(struct delivery *delivery, uint64_t next)
{
    delivery->has = next;
    delivery->acked_bytes = 0;
    if (next >= delivery->queue.first)
        delivery->synced = next < delivery->changed ? next : delivery->changed;
    else if (delivery_restart(delivery, next) < 0)
        snprintf(delivery->problem, sizeof delivery->problem, "out of memory");
    return delivery->setbacks++ < SETBACKS_FREE ? DELIVERY_GO_ON : DELIVERY_RETRY;
}

/* A batch without lines removes no lines, so the dashboard still has the lines that it had. */
static void note_has(struct delivery *delivery, uint64_t next, uint64_t have)
{
    if (delivery->sent_end > delivery->sent_from || delivery->sent_skipped > 0)
        delivery->has = have;
    else if (next < delivery->has)
        delivery->has = next;
}

static void note_derivations_acked(struct derivation_acks *acks)
{
    for (size_t i = 0; i < acks->sent_count; i++)
        acks->version[acks->sent[i].index] = acks->sent[i].version;
    acks->sent_count = 0;
}

/* The next batch may be larger. */
static void note_taken(struct refusals *refusals)
{
    if (refusals->bare && !refusals->additions)
        refusals->additions = true;
    if (refusals->most < REFUSALS_OVER)
        refusals->most *= 2;
    else
        refusals->most = UINT64_MAX;
}

static enum delivery_verdict accepted(struct delivery *delivery, const struct answer *answer)
{
    uint64_t have = delivery->sent_end;

    if (answer->next < 0)
        return DELIVERY_RETRY; /* something other than a dashboard answered */
    if ((uint64_t)answer->next < have)
        have = (uint64_t)answer->next;
    delivery->wait_ms = answer->wait_ms;
    if (delivery->sent_description || delivery->refusals.bare)
        delivery->described = true;
    if (!delivery->sent_mark)
        note_taken(&delivery->refusals);
    if (have < delivery->sent_from || (have == delivery->sent_from && have < delivery->sent_end))
        return go_back(delivery, have);
    note_has(delivery, (uint64_t)answer->next, have);
    if (have == delivery->sent_end && delivery->sent_bytes > 0)
        delivery->acked_bytes = delivery->sent_bytes;
    note_derivations_acked(&delivery->derivation_acks);
    delivery->synced = have < delivery->changed ? have : delivery->changed;
    build_logs_accepted(&delivery->build_logs);
    delivery_drop_synced(delivery);
    if (delivery->sent_last && delivery->synced == delivery->sent_end)
        delivery->end_told = true;
    return delivery_over(delivery) ? DELIVERY_DONE : DELIVERY_GO_ON;
}

static enum delivery_verdict conflict(struct delivery *delivery, const struct answer *answer)
{
    if (answer->next < 0 || (uint64_t)answer->next > delivery->sent_from)
        return DELIVERY_RETRY; /* a dashboard that has all lines refuses nothing */
    if (delivery->sent_last)
        delivery->digest_cycles++;
    return go_back(delivery, (uint64_t)answer->next);
}

/* One line without other fields was refused. */
static enum delivery_verdict mark_line(struct delivery *delivery)
{
    struct refusals *refusals = &delivery->refusals;

    refusals->bare = false;
    if (delivery->sent_end == delivery->sent_from)
        return delivery->sent_last ? DELIVERY_REFUSED : DELIVERY_RETRY;
    if (delivery->sent_end > delivery->released)
        return DELIVERY_RETRY; /* the line may change until the next try */
    if (refusals->count == DELIVERY_REFUSALS_MAX)
        return DELIVERY_REFUSED;
    refusals->line[refusals->count++] = delivery->sent_from;
    delivery->left_out = true; /* no digest, because the text differs */
    snprintf(delivery->problem, sizeof delivery->problem,
             "the dashboard refused line %llu (%s): it stays in the local log",
             (unsigned long long)delivery->sent_from + 1, refusals->reason);
    return DELIVERY_GO_ON;
}

static bool holds_links(const struct delivery *delivery)
{
    static const char link[] = "\\u001b]8;"; /* in JSON */

    return !delivery->without_links &&
           memmem(delivery->body.bytes, delivery->body.size, link, strlen(link));
}

/* The dashboard will never accept this batch as it is. If the batch has hyperlinks, they may be the
 * reason: older dashboards do not take them. */
static enum delivery_verdict rejected(struct delivery *delivery, const struct answer *answer)
{
    struct refusals *refusals = &delivery->refusals;
    uint64_t lines = delivery->sent_end - delivery->sent_from;

    if (holds_links(delivery))
        return delivery_refuse_links(delivery) ? DELIVERY_GO_ON : DELIVERY_RETRY;
    snprintf(refusals->reason, sizeof refusals->reason, "%s",
             answer->error[0] ? answer->error : "it does not say why");
    if (delivery->sent_mark)
        return DELIVERY_REFUSED; /* this dashboard accepts no line at all */
    if (lines > 1) {
        refusals->most = lines / 2;
        return DELIVERY_GO_ON;
    }
    if (!refusals->bare) {
        refusals->bare = true;
        refusals->most = 1;
        return DELIVERY_GO_ON;
    }
    return mark_line(delivery);
}

static enum delivery_verdict too_large(struct delivery *delivery, const struct answer *answer)
{
    if (delivery->build_logs.sent) { /* the run's own lines and state must not suffer from them */
        build_logs_too_large(&delivery->build_logs);
        return DELIVERY_GO_ON;
    }
    if (delivery->sent_end - delivery->sent_from <= 1)
        return rejected(delivery, answer);
    if (delivery->text_max > 1)
        delivery->text_most = delivery->text_max /= 2;
    return DELIVERY_GO_ON;
}

enum delivery_verdict delivery_take(struct delivery *delivery, const struct client_answer *answer)
{
    struct answer said;

    delivery->problem[0] = '\0';
    delivery->wait_ms = 0;
    if (!answer_parse(answer->body ? answer->body : "", answer->size, &said))
        said = (struct answer){.next = -1};
    switch (verdict_of(answer)) {
    case VERDICT_TAKEN:
        return accepted(delivery, &said);
    case VERDICT_DENIED:
        return DELIVERY_DENIED;
    case VERDICT_ABSENT:
        return DELIVERY_ABSENT;
    case VERDICT_CONFLICT:
        return conflict(delivery, &said);
    case VERDICT_GONE:
        return DELIVERY_STOP;
    case VERDICT_TOO_LARGE:
        return too_large(delivery, &said);
    case VERDICT_WAIT:
        delivery->wait_ms = answer->retry_after_ms;
        return DELIVERY_WAIT;
    case VERDICT_REFUSED:
        return rejected(delivery, &said);
    case VERDICT_RETRY:
        break;
    }
    return DELIVERY_RETRY;
}
