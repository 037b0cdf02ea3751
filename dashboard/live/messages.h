/* Messages about hosts. Many pages need the same messages, so each is built once, and freed when
   the last page has sent it. Only the live thread uses these. */
#ifndef NIXFLEET_DASHBOARD_LIVE_MESSAGES_H
#define NIXFLEET_DASHBOARD_LIVE_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "dashboard/live/change_feed.h"
#include "dashboard/live/view.h"
#include "common/json.h"
#include "dashboard/store/store.h"

/* A message that several pages send. */
struct message {
    size_t references;
    struct text text;
};
/* Drops a reference; the last one frees the message. NULL is allowed. */
void message_release(struct message *message);

struct host_messages {
    struct store *store;
    struct change_feed *hosts;
    struct host_texts *texts;
    struct message *all; /* the newest */
    uint64_t all_seen;
    int64_t all_ms;
    struct changes_message {
        struct message *message; /* the newest */
        uint64_t from, to;
    } changes, states;
};

void host_messages_free(struct host_messages *messages);
/* The message with all hosts. *seen: the newest change that it contains. NULL if the store failed,
 * or when out of memory. The caller releases it. */
struct message *host_messages_all(struct host_messages *messages, uint64_t *seen);
/* Frees the message with all hosts when it is too old for the next page; pages that are still being
 * sent it keep it. */
void host_messages_forget(struct host_messages *messages);
/* *out: the message with the hosts that changed after *seen, or with the first of them; moves
 * *seen. NULL: nothing changed. The caller releases it. False: the store or memory failed. */
bool host_messages_since(struct host_messages *messages, uint64_t *seen, struct message **out);
/* The same with the hosts whose state changed: not for progress alone. */
bool host_messages_states_since(struct host_messages *messages, uint64_t *seen,
                                struct message **out);

#endif
