#include "dashboard/live/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/view/log.h"
#include "dashboard/view/run.h"

#define SPLICE_LINES 2000
#define SPLICE_BYTES ((size_t)512 << 10)

bool tail_start(struct store *store, struct tail *tail, const char *run, int64_t from)
{
    struct run_row row;

    if (!store_run_find(store, run, &row) || row.deleted)
        return false;
    memset(tail, 0, sizeof *tail);
    snprintf(tail->run, sizeof tail->run, "%s", run);
    snprintf(tail->host, sizeof tail->host, "%s", row.host);
    tail->key = row.key;
    tail->next = from >= 0 ? from : row.lines + from < 0 ? 0 : row.lines + from;
    store_log_changed(store, row.key, 0, &tail->version);
    tail->due = true;
    return true;
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

void tail_touch(struct tail *tail, const struct change *changes, size_t count)
{
    struct change wanted = {0};

    memcpy(wanted.run, tail->run, sizeof wanted.run);
    if (count && bsearch(&wanted, changes, count, sizeof *changes, by_run))
        tail->due = tail->changed = true;
}

static bool build_splice(struct store *store, struct tail *tail, struct text *out)
{
    int64_t newest = tail->version,
            changed = store_log_changed(store, tail->key, tail->version, &newest),
            from = tail->next, end;
    struct run_row row;

    if (!store_run_find(store, tail->run, &row))
        return false;
    if (changed >= 0 && changed < from)
        from = changed;
    if (changed < 0 && from >= row.lines)
        return false;
    text_puts(out, "{");
    text_key_json(out, "type", "splice");
    text_key_json(out, "host", tail->host);
    text_key_json(out, "run", tail->run);
    if (!log_window_json(store, tail->key, from, SPLICE_LINES, SPLICE_BYTES, out, &end)) {
        out->size = 0;
        return false;
    }
    text_key_int(out, "total", row.lines);
    text_key(out, "gaps");
    log_gaps_json(store, tail->key, out);
    text_puts(out, "}");
    tail->next = end;
    tail->version = newest;
    tail->due = end < row.lines;
    return true;
}

bool tail_splice(struct store *store, struct tail *tail, struct text *out)
{
    bool told;

    tail->due = false;
    store_snapshot(store);
    told = build_splice(store, tail, out);
    store_snapshot_end(store);
    return told;
}

bool tail_run(struct store *store, const struct tail *tail, struct text *out)
{
    size_t start = out->size;

    text_puts(out, "{\"type\":\"run\",\"run\":");
    if (!run_json(store, NULL, tail->run, wall_ms(), out)) {
        out->size = start;
        return false;
    }
    text_puts(out, "}");
    return true;
}
