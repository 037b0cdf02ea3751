#include "dashboard/live/messages.h"

#include <stdlib.h>

#include "common/io.h"
#include "dashboard/view/host.h"

#define ALL_FRESH_MS 1000 /* pages that come together share one list; its changes follow anyway */
#define PART_MAX 200      /* hosts in one message */

void shared_drop(struct shared *shared)
{
    if (!shared || --shared->users > 0)
        return;
    text_free(&shared->text);
    free(shared);
}

static struct shared *shared_new(void)
{
    struct shared *shared = calloc(1, sizeof *shared);

    if (shared)
        shared->users = 1;
    return shared;
}

/* Ends the building of a message: kept in *kept for the next who asks, and given to this one. */
static struct shared *share(struct shared **kept, struct shared *fresh)
{
    if (fresh->text.failed) {
        shared_drop(fresh);
        return NULL;
    }
    shared_drop(*kept);
    *kept = fresh;
    fresh->users++;
    return fresh;
}

void news_free(struct news *news)
{
    shared_drop(news->all);
    shared_drop(news->changes);
}

struct shared *news_all(struct news *news, uint64_t *seen)
{
    struct shared *fresh;

    if (news->all && monotonic_ms() - news->all_ms < ALL_FRESH_MS) {
        *seen = news->all_seen;
        news->all->users++;
        return news->all;
    }
    if (!(fresh = shared_new()))
        return NULL;
    *seen = news->all_seen =
        hostlog_newest(news->hosts); /* before reading: nothing can be missed */
    news->all_ms = monotonic_ms();
    text_printf(&fresh->text, "{\"type\":\"hosts\",\"now\":%lld,\"hosts\":[", (long long)wall_ms());
    if (!hosts_json(news->store, false, wall_ms(), &fresh->text)) {
        shared_drop(fresh);
        return NULL;
    }
    text_puts(&fresh->text, "]}");
    return share(&news->all, fresh);
}

static void build_changes(struct news *news, struct text *out, char (*hosts)[HOST_ID_SIZE],
                          size_t count)
{
    struct text gone = {0};

    text_puts(out, "{\"type\":\"changed\",\"hosts\":[");
    for (size_t i = 0; i < count; i++) {
        if (host_json(news->store, hosts[i], false, wall_ms(), out))
            continue;
        text_puts(&gone, gone.size ? "," : "");
        text_json(&gone, hosts[i]);
    }
    text_puts(out, "],\"gone\":[");
    text_add(out, gone.bytes, gone.size);
    text_puts(out, "]}");
    out->failed |= gone.failed;
    text_free(&gone);
}

struct shared *news_since(struct news *news, uint64_t *seen)
{
    char hosts[PART_MAX][HOST_ID_SIZE];
    uint64_t from = *seen, to = from;
    struct shared *fresh;
    size_t count;

    if (news->changes && news->changes_from == from && news->changes_to > from) {
        *seen = news->changes_to;
        news->changes->users++;
        return news->changes;
    }
    count = hostlog_since(news->hosts, &to, hosts, PART_MAX);
    if (!count) {
        *seen = to;
        return NULL;
    }
    if (!(fresh = shared_new()))
        return NULL;
    store_snapshot(news->store);
    build_changes(news, &fresh->text, hosts, count);
    store_snapshot_end(news->store);
    fresh = share(&news->changes, fresh);
    if (fresh) {
        news->changes_from = from;
        *seen = news->changes_to = to;
    }
    return fresh;
}
