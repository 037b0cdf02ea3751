#include "dashboard/live/follower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/view/log.h"
#include "dashboard/view/run.h"

#define SPLICE_LINES 2000
#define SPLICE_BYTES ((size_t)512 << 10)

int follower_start(struct store *store, struct follower *follower, const char *run, int64_t from)
{
    struct run_row row;
    int found = store_run_find(store, run, &row);

    if (found <= 0 || row.deleted)
        return found < 0 ? -1 : 0;
    memset(follower, 0, sizeof *follower);
    snprintf(follower->run, sizeof follower->run, "%s", run);
    snprintf(follower->host, sizeof follower->host, "%s", row.host);
    follower->key = row.key;
    follower->next = from >= 0 ? from : row.lines + from < 0 ? 0 : row.lines + from;
    if (store_log_changed(store, row.key, 0, &follower->version) < -1)
        return -1;
    follower->due = true;
    return 1;
}

static int by_run(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    return strcmp(x->run, y->run);
}

void changes_sort(struct change *changes, size_t count)
{
    qsort(changes, count, sizeof *changes, by_run);
}

void follower_touch(struct follower *follower, const struct change *changes, size_t count)
{
    struct change wanted = {0};

    memcpy(wanted.run, follower->run, sizeof wanted.run);
    if (count && bsearch(&wanted, changes, count, sizeof *changes, by_run))
        follower->due = follower->changed = true;
}

static int build_splice(struct store *store, struct follower *follower, struct text *out)
{
    int64_t newest = follower->version,
            changed = store_log_changed(store, follower->key, follower->version, &newest),
            from = follower->next, end;
    struct run_row row;
    int found = store_run_find(store, follower->run, &row);

    if (found <= 0 || changed < -1)
        return changed < -1 ? -1 : found;
    if (changed >= 0 && changed < from)
        from = changed;
    if (changed < 0 && from >= row.lines)
        return 0;
    text_puts(out, "{");
    text_key_json(out, "type", "splice");
    text_key_json(out, "host", follower->host);
    text_key_json(out, "run", follower->run);
    out->failed |=
        !log_window_json(store, follower->key, from, SPLICE_LINES, SPLICE_BYTES, out, &end);
    text_key_int(out, "total", row.lines);
    text_key(out, "gaps");
    out->failed |= !log_gaps_json(store, follower->key, out);
    text_puts(out, "}");
    if (out->failed)
        return -1;
    follower->next = end;
    follower->version = newest;
    follower->due = end < row.lines;
    return 1;
}

int follower_splice(struct store *store, struct follower *follower, struct text *out)
{
    int built;

    follower->due = false;
    store_snapshot(store);
    built = build_splice(store, follower, out);
    store_snapshot_end(store);
    return built;
}

int follower_run(struct store *store, const struct follower *follower, struct text *out)
{
    int found;

    text_puts(out, "{\"type\":\"run\",\"run\":");
    found = run_json(store, NULL, follower->run, store_now_ms(store), out);
    text_puts(out, "}");
    return out->failed ? -1 : found;
}
