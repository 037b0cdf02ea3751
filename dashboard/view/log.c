#include "dashboard/view/log.h"

#include <string.h>

#include "dashboard/store/lines.h"

struct window {
    int64_t from, next, limit;
    size_t bytes_max;
    struct text lines, times;
    bool begun;
};

/* Appends up to `take` lines of a chunk, from its line `skip` on. Returns how many. */
static int64_t add_lines(struct window *window, const struct chunk *chunk, int64_t skip,
                         int64_t take)
{
    const char *at = chunk->text, *end = at + chunk->size;
    struct text *out = &window->lines;
    int64_t taken = 0;

    for (int64_t i = 0; at <= end && taken < take; i++) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((lf ? lf : end) - at);

        if (i >= skip) {
            if (taken > 0 && out->size + length > window->bytes_max)
                break;
            if (window->begun)
                text_puts(out, ",");
            window->begun = true;
            text_json_bytes(out, at, length);
            taken++;
        }
        if (!lf)
            break;
        at = lf + 1;
    }
    return taken;
}

static bool add_chunk(void *context, const struct chunk *chunk)
{
    struct window *window = context;
    int64_t skip = window->next - chunk->first, taken;

    if (!chunk->text) { /* a gap: allowed only before the first line of the window */
        if (window->begun)
            return false;
        window->from = window->next = chunk->first + chunk->count;
        return true;
    }
    taken = chunk->count - skip < window->limit ? chunk->count - skip : window->limit;
    taken = add_lines(window, chunk, skip, taken);
    times_slice(&window->times, chunk->times, skip, taken);
    window->next += taken;
    window->limit -= taken;
    return window->limit > 0 && window->lines.size < window->bytes_max;
}

static void put_list(struct text *out, const char *key, struct text *list)
{
    text_key(out, key);
    text_puts(out, "[");
    text_add(out, list->bytes, list->size);
    text_puts(out, "]");
    out->failed = out->failed || list->failed;
    text_free(list);
}

bool log_window_json(struct store *store, int64_t key, int64_t from, int64_t limit,
                     size_t bytes_max, struct text *out, int64_t *next)
{
    struct window window = {.from = from, .next = from, .limit = limit, .bytes_max = bytes_max};
    bool read = limit <= 0 || store_log(store, key, from, add_chunk, &window) == 0;

    text_key_int(out, "from", window.from);
    put_list(out, "lines", &window.lines);
    put_list(out, "times", &window.times);
    *next = window.next;
    return read && !out->failed;
}

bool build_log_window_json(struct store *store, int64_t key, int64_t n, int64_t from, int64_t limit,
                           size_t bytes_max, struct text *out)
{
    struct window window = {.from = from, .next = from, .limit = limit, .bytes_max = bytes_max};
    bool read = limit <= 0 || store_build_log(store, key, n, from, add_chunk, &window) == 0;

    text_key_int(out, "from", window.from);
    put_list(out, "lines", &window.lines);
    text_free(&window.times);
    return read && !out->failed;
}

static void add_gap(void *context, int64_t first, int64_t count)
{
    struct text *out = context;

    text_comma(out);
    text_printf(out, "[%lld,%lld]", (long long)first, (long long)count);
}

bool log_gaps_json(struct store *store, int64_t key, struct text *out)
{
    bool read;

    text_puts(out, "[");
    read = store_log_gaps(store, key, add_gap, out) == 0;
    text_puts(out, "]");
    return read;
}
