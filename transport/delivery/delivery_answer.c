/* What the answer to a batch means. */
#include <stdio.h>

#include "../http/answer.h"
#include "../http/verdict.h"
#include "delivery.h"
#include "delivery_internal.h"

#define REFUSALS_OVER 4096 /* lines that are taken together: what was refused is behind us */
#define SETBACKS_FREE 3    /* how often a dashboard may go back before that is met with pauses */

/* The dashboard has the first `next` lines and nothing else. One that says so again and again is
 * broken, and must not be asked as fast as it can answer. */
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

/* A batch without lines leaves there what is behind it. */
static void note_has(struct delivery *delivery, uint64_t next, uint64_t have)
{
    if (delivery->sent_end > delivery->sent_from || delivery->sent_skipped > 0)
        delivery->has = have;
    else if (next < delivery->has)
        delivery->has = next;
}

static void note_told(struct told *told)
{
    for (size_t i = 0; i < told->sent_count; i++)
        told->version[told->sent[i].index] = told->sent[i].version;
    told->sent_count = 0;
}

/* More may be in the next batch. */
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
        return DELIVERY_RETRY; /* something else than a dashboard answered */
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
    note_told(&delivery->told);
    delivery->synced = have < delivery->changed ? have : delivery->changed;
    delivery_drop_synced(delivery);
    return delivery->sent_last && delivery->synced == delivery->sent_end ? DELIVERY_DONE
                                                                         : DELIVERY_GO_ON;
}

static enum delivery_verdict conflict(struct delivery *delivery, const struct answer *answer)
{
    if (answer->next < 0 || (uint64_t)answer->next > delivery->sent_from)
        return DELIVERY_RETRY; /* a dashboard that has them has nothing to object to */
    if (delivery->sent_last)
        delivery->digest_cycles++;
    return go_back(delivery, (uint64_t)answer->next);
}

/* One line, and nothing besides, is refused. */
static enum delivery_verdict mark_line(struct delivery *delivery)
{
    struct refusals *refusals = &delivery->refusals;

    refusals->bare = false;
    if (delivery->sent_end == delivery->sent_from)
        return delivery->sent_last ? DELIVERY_REFUSED : DELIVERY_RETRY;
    if (delivery->sent_end > delivery->released)
        return DELIVERY_RETRY; /* it may still change, and be another one then */
    if (refusals->count == DELIVERY_REFUSALS_MAX)
        return DELIVERY_REFUSED;
    refusals->line[refusals->count++] = delivery->sent_from;
    delivery->left_out = true; /* no digest: the text is another one */
    snprintf(delivery->problem, sizeof delivery->problem,
             "the dashboard refused line %llu (%s): it stays in the local log",
             (unsigned long long)delivery->sent_from + 1, refusals->reason);
    return DELIVERY_GO_ON;
}

/* This batch will never be taken as it is. */
static enum delivery_verdict rejected(struct delivery *delivery, const struct answer *answer)
{
    struct refusals *refusals = &delivery->refusals;
    uint64_t lines = delivery->sent_end - delivery->sent_from;

    snprintf(refusals->reason, sizeof refusals->reason, "%s",
             answer->error[0] ? answer->error : "it does not say why");
    if (delivery->sent_mark)
        return DELIVERY_REFUSED; /* whatever it is that it wants, no line will be taken */
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
