/* Reading the lines of a run: windows, gaps, what has changed. */
#include "dashboard/store/sqlite/log.h"

#include <string.h>

/* Appends the times of lines [skip, skip+take) of a chunk to a list that is open. */
static void add_times(struct text *out, const char *times, int64_t skip, int64_t take)
{
    json_object *list = lines_times(times);
    size_t length = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < length && take > 0; i++) {
        json_object *pair = json_object_array_get_idx(list, i);
        int64_t n = json_object_get_int64(json_object_array_get_idx(pair, 0));

        if (n <= skip) {
            skip -= n;
            continue;
        }
        n = n - skip < take ? n - skip : take;
        skip = 0;
        take -= n;
        text_printf(out, "%s[%lld,%lld]", out->size ? "," : "", (long long)n,
                    (long long)json_object_get_int64(json_object_array_get_idx(pair, 1)));
    }
    json_object_put(list);
}

/* Appends up to take lines of a chunk, from its line skip on; returns how many. */
static int64_t add_lines(struct text *out, const char *text, size_t size, int64_t skip,
                         int64_t take, size_t bytes_max, bool *first)
{
    const char *at = text, *end = text + size;
    int64_t taken = 0;

    for (int64_t i = 0; at <= end && taken < take; i++) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((lf ? lf : end) - at);

        if (i >= skip) {
            if (taken > 0 && out->size + length > bytes_max)
                break;
            if (!*first)
                text_puts(out, ",");
            *first = false;
            text_json_bytes(out, at, length);
            taken++;
        }
        if (!lf)
            break;
        at = lf + 1;
    }
    return taken;
}

bool lines_window(struct store *store, int64_t run, int64_t from, int64_t limit, size_t bytes_max,
                  struct text *out, int64_t *next)
{
    sqlite3_stmt *chunks =
        store_statement(store, "SELECT first, count, text, times FROM chunks WHERE run=?1 AND "
                               "first>=coalesce((SELECT max(first)"
                               " FROM chunks WHERE run=?1 AND first<=?2),0) ORDER BY first");
    struct text times = {0}, lines = {0};
    bool first = true;
    int64_t at = from;

    if (!chunks)
        return false;
    statement_bind(chunks, "ii", run, from);
    while (limit > 0 && lines.size < bytes_max && sqlite3_step(chunks) == SQLITE_ROW) {
        int64_t start = sqlite3_column_int64(chunks, 0), count = sqlite3_column_int64(chunks, 1),
                taken;

        if (start + count <= at)
            continue;
        if (!column_text(chunks, 2)) { /* a gap: only in front of the window */
            if (!first)
                break;
            from = at = start + count;
            continue;
        }
        taken = count - (at - start) < limit ? count - (at - start) : limit;
        taken = add_lines(&lines, column_text(chunks, 2), (size_t)sqlite3_column_bytes(chunks, 2),
                          at - start, taken, bytes_max, &first);
        add_times(&times, column_text(chunks, 3), at - start, taken);
        at += taken;
        limit -= taken;
    }
    sqlite3_reset(chunks);
    text_key_int(out, "from", from);
    text_key(out, "lines");
    text_puts(out, "[");
    text_add(out, lines.bytes, lines.size);
    text_puts(out, "]");
    text_key(out, "times");
    text_puts(out, "[");
    text_add(out, times.bytes, times.size);
    text_puts(out, "]");
    out->failed = out->failed || lines.failed || times.failed;
    text_free(&lines);
    text_free(&times);
    *next = at;
    return !out->failed;
}

bool lines_gaps(struct store *store, int64_t run, struct text *out)
{
    sqlite3_stmt *gaps = store_statement(
        store, "SELECT first, count FROM chunks WHERE run=? AND text IS NULL ORDER BY first");
    bool first = true;

    if (!gaps)
        return false;
    statement_bind(gaps, "i", run);
    text_puts(out, "[");
    while (sqlite3_step(gaps) == SQLITE_ROW) {
        text_printf(out, "%s[%lld,%lld]", first ? "" : ",",
                    (long long)sqlite3_column_int64(gaps, 0),
                    (long long)sqlite3_column_int64(gaps, 1));
        first = false;
    }
    text_puts(out, "]");
    sqlite3_reset(gaps);
    return true;
}

static int64_t first_change(struct store *store, const char *sql, int64_t run, int64_t since,
                            int64_t *newest)
{
    sqlite3_stmt *find = store_statement(store, sql);
    int64_t line = -1;

    if (!find)
        return -1;
    statement_bind(find, "ii", run, since);
    if (sqlite3_step(find) == SQLITE_ROW) {
        if (sqlite3_column_type(find, 0) != SQLITE_NULL)
            line = sqlite3_column_int64(find, 0);
        if (sqlite3_column_type(find, 1) != SQLITE_NULL)
            *newest = sqlite3_column_int64(find, 1);
    }
    sqlite3_reset(find);
    return line;
}

int64_t lines_changed_since(struct store *store, int64_t run, int64_t version, int64_t *newest)
{
    return first_change(store,
                        "SELECT min(first), max(version) FROM chunks WHERE run=?1 AND version>?2",
                        run, version, newest);
}

int64_t lines_arrived_since(struct store *store, int64_t run, int64_t at_ms, int64_t *newest)
{
    return first_change(store,
                        "SELECT (SELECT min(first) FROM chunks WHERE run=?1 AND at>?2), (SELECT "
                        "max(version) FROM chunks WHERE run=?1)",
                        run, at_ms, newest);
}
