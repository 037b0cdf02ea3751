#include "dashboard/live/view.h"

#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/view/host.h"

#define LOOK_MS 250       /* between two messages */
#define TEXTS 512         /* hosts whose text is kept */
#define TEXT_FRESH_MS 500 /* the text says how long a run is silent, so it becomes old */

/* ---- what is built for all pages ---- */

struct host_text {
    char host[HOST_ID_SIZE];
    uint64_t noted;
    int64_t built_ms;
    struct text text; /* empty: there is no such host */
};

struct host_texts {
    struct store *store;
    struct host_text kept[TEXTS]; /* by a hash of the name; a newer one replaces an older one */
};

struct host_texts *host_texts_new(struct store *store)
{
    struct host_texts *texts = calloc(1, sizeof *texts);

    if (texts)
        texts->store = store;
    return texts;
}

void host_texts_free(struct host_texts *texts)
{
    for (size_t i = 0; texts && i < TEXTS; i++)
        text_free(&texts->kept[i].text);
    free(texts);
}

static size_t place(const char *host)
{
    size_t hash = 5381;

    while (*host)
        hash = hash * 33 + (unsigned char)*host++;
    return hash % TEXTS;
}

/* The host's JSON as of its newest change. Empty: there is no such host; failed: the store or
 * memory did. */
static const struct text *host_text(struct host_texts *texts, const struct viewed *viewed)
{
    struct host_text *kept = &texts->kept[place(viewed->host)];

    if (kept->noted == viewed->noted && strcmp(kept->host, viewed->host) == 0 &&
        !kept->text.failed && monotonic_ms() - kept->built_ms < TEXT_FRESH_MS)
        return &kept->text;
    memcpy(kept->host, viewed->host, sizeof kept->host);
    kept->noted = viewed->noted;
    kept->built_ms = monotonic_ms();
    text_free(&kept->text);
    kept->text.no_nulls = true;
    kept->text.failed |=
        host_json(texts->store, viewed->host, false, store_now_ms(texts->store), &kept->text) < 0;
    return &kept->text;
}

/* ---- a page's view ---- */

static const struct viewed *find(const struct view *view, const char *host)
{
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(view->hosts[i].host, host) == 0)
            return &view->hosts[i];
    return NULL;
}

bool view_set(struct view *view, json_object *names)
{
    size_t count = json_object_array_length(names);
    struct viewed *hosts = calloc(VIEW_MAX, sizeof *hosts);

    count = count < VIEW_MAX ? count : VIEW_MAX;
    for (size_t i = 0; hosts && i < count; i++) {
        json_object *name = json_object_array_get_idx(names, i);
        const struct viewed *known;

        if (!json_object_is_type(name, json_type_string)) {
            free(hosts);
            return false;
        }
        strlcpy(hosts[i].host, json_object_get_string(name), sizeof hosts[i].host);
        if ((known = find(view, hosts[i].host)))
            hosts[i].sent = known->sent;
    }
    if (!hosts)
        return false;
    free(view->hosts);
    *view = (struct view){.known = true, .hosts = hosts, .count = count};
    return true;
}

void view_clear(struct view *view)
{
    free(view->hosts);
    *view = (struct view){0};
}

int view_pause_ms(const struct view *view, struct change_feed *feed)
{
    int64_t left = view->next_ms - monotonic_ms();

    if (!view->known || view->noted == change_feed_noted(feed))
        return -1;
    return left > 0 ? (int)left : 0;
}

/* Adds the host if it changed since it was sent. False: nothing was added. */
static bool add_host(struct host_texts *texts, struct viewed *viewed, struct text *out)
{
    const struct text *text;

    if (viewed->noted == viewed->sent)
        return false;
    viewed->sent = viewed->noted;
    text = host_text(texts, viewed);
    out->failed |= text->failed;
    if (!text->size)
        return false;
    text_comma(out);
    text_add(out, text->bytes, text->size);
    return true;
}

bool view_message(struct view *view, struct change_feed *feed, struct host_texts *texts,
                  struct text *out)
{
    bool any = false;

    if (view_pause_ms(view, feed) != 0)
        return false;
    view->noted = change_feed_noted(feed);
    view->next_ms = monotonic_ms() + LOOK_MS;
    change_feed_look(feed, view->hosts, view->count);
    text_puts(out, "{\"type\":\"changed\",\"hosts\":[");
    for (size_t i = 0; i < view->count; i++)
        any |= add_host(texts, &view->hosts[i], out);
    text_puts(out, "],\"gone\":[]}");
    return any || out->failed;
}
