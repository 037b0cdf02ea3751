#include "dashboard/live/messages.h"

#include <stdlib.h>

#include "common/io.h"
#include "dashboard/view/host.h"

/* pages that connect within this time share one list; changes since then follow as messages */
#define ALL_FRESH_MS 1000
#define PART_MAX 200 /* hosts in one message */

void message_release(struct message *message)
{
    if (!message || --message->references > 0)
        return;
    text_free(&message->text);
    free(message);
}

static struct message *message_new(void)
{
    struct message *message = calloc(1, sizeof *message);

    if (message) {
        message->references = 1;
        message->text.no_nulls = true; /* nulls would be more than half of the text */
    }
    return message;
}

/* Keeps a new message in *kept for the next page, and returns it for this page. */
static struct message *share(struct message **kept, struct message *fresh)
{
    if (fresh->text.failed) {
        message_release(fresh);
        return NULL;
    }
    message_release(*kept);
    *kept = fresh;
    fresh->references++;
    return fresh;
}

void host_messages_free(struct host_messages *messages)
{
    message_release(messages->all);
    message_release(messages->changes.message);
    message_release(messages->states.message);
    host_texts_free(messages->texts);
}

void host_messages_forget(struct host_messages *messages)
{
    if (!messages->all || monotonic_ms() - messages->all_ms < ALL_FRESH_MS)
        return;
    message_release(messages->all);
    messages->all = NULL;
}

struct message *host_messages_all(struct host_messages *messages, uint64_t *seen)
{
    struct message *fresh;

    if (messages->all && monotonic_ms() - messages->all_ms < ALL_FRESH_MS) {
        *seen = messages->all_seen;
        messages->all->references++;
        return messages->all;
    }
    if (!(fresh = message_new()))
        return NULL;
    *seen = messages->all_seen =
        change_feed_newest(messages->hosts); /* read first, so that no change is missed */
    messages->all_ms = monotonic_ms();
    text_printf(&fresh->text, "{\"type\":\"hosts\",\"now\":%lld,\"hosts\":[",
                (long long)store_now_ms(messages->store));
    if (!hosts_json(messages->store, false, store_now_ms(messages->store), &fresh->text)) {
        message_release(fresh);
        return NULL;
    }
    text_puts(&fresh->text, "]}");
    return share(&messages->all, fresh);
}

static void build_changes(struct host_messages *messages, struct text *out,
                          char (*hosts)[HOST_ID_SIZE], size_t count)
{
    struct text gone = {0};

    text_puts(out, "{\"type\":\"changed\",\"hosts\":[");
    for (size_t i = 0; i < count; i++) {
        int found = host_json(messages->store, hosts[i], false, store_now_ms(messages->store), out);

        out->failed |= found < 0;
        if (found != 0)
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

typedef size_t list_changes(struct change_feed *feed, uint64_t *seen, char (*out)[HOST_ID_SIZE],
                            size_t max);

static bool since(struct host_messages *messages, uint64_t *seen, list_changes *list,
                  struct changes_message *kept, struct message **out)
{
    char hosts[PART_MAX][HOST_ID_SIZE];
    uint64_t from = *seen, to = from;
    struct message *fresh;
    size_t count;

    if (kept->message && kept->from == from && kept->to > from) {
        *seen = kept->to;
        kept->message->references++;
        *out = kept->message;
        return true;
    }
    *out = NULL;
    count = list(messages->hosts, &to, hosts, PART_MAX);
    if (!count) {
        *seen = to;
        return true;
    }
    if (!(fresh = message_new()))
        return false;
    store_snapshot(messages->store);
    build_changes(messages, &fresh->text, hosts, count);
    store_snapshot_end(messages->store);
    if (!(*out = share(&kept->message, fresh)))
        return false;
    kept->from = from;
    *seen = kept->to = to;
    return true;
}

bool host_messages_since(struct host_messages *messages, uint64_t *seen, struct message **out)
{
    return since(messages, seen, change_feed_since, &messages->changes, out);
}

bool host_messages_states_since(struct host_messages *messages, uint64_t *seen,
                                struct message **out)
{
    return since(messages, seen, change_feed_states_since, &messages->states, out);
}
