/* What a page has in sight. The page is sent the progress of these hosts, a few times a second.
   What is sent of a host is built once for all pages. Only the live thread uses these. */
#ifndef NIXFLEET_DASHBOARD_LIVE_VIEW_H
#define NIXFLEET_DASHBOARD_LIVE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/live/change_feed.h"
#include "dashboard/store/store.h"

#define VIEW_MAX 128 /* hosts; a page that shows more is sent the progress of so many */

struct view {
    bool known; /* the page has said what it has in sight; else it needs all progress */
    struct viewed *hosts;
    size_t count;
    uint64_t noted; /* as of the last look */
    int64_t next_ms;
};

/* Takes over the names in a JSON array of strings; hosts that stay in sight are not sent again.
 * False when out of memory, or if something in the array is not a string. */
bool view_set(struct view *view, json_object *names);
/* The page needs all progress again. */
void view_clear(struct view *view);
/* In how many ms something may have to be sent; -1: not before the next change. */
int view_pause_ms(const struct view *view, struct change_feed *feed);

struct host_texts;
/* NULL when out of memory. */
struct host_texts *host_texts_new(struct store *store);
void host_texts_free(struct host_texts *texts);
/* Adds the message for the hosts in sight that changed since they were sent. False: there is
 * nothing to send now. If the store or memory failed, out->failed is set. */
bool view_message(struct view *view, struct change_feed *feed, struct host_texts *texts,
                  struct text *out);

#endif
