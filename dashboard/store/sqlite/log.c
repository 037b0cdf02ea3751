/* Writing the lines of a run: splice, digest, shortening. */
#include "dashboard/store/sqlite/log.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

#define TIMES_DEPTH 2 /* a list of pairs */

int64_t lines_count(const char *text, size_t size)
{
    return 1 + (int64_t)count_lf(text, size);
}

size_t lines_prefix(const char *text, size_t size, int64_t count)
{
    const char *at = text, *end = text + size;

    for (; count > 0; count--) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));

        if (!lf)
            return size;
        if (count == 1)
            return (size_t)(lf - text);
        at = lf + 1;
    }
    return 0;
}

size_t lines_strip(char *text, size_t size)
{
    size_t to = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\033' && i + 1 < size && text[i + 1] == '[') {
            for (i += 2; i < size &&
                         ((text[i] >= '0' && text[i] <= '9') || text[i] == ';' || text[i] == ':');
                 i++)
                ;
            continue; /* the final byte goes, too */
        }
        text[to++] = text[i];
    }
    return to;
}

json_object *lines_times(const char *times)
{
    struct json_problem problem;
    json_object *list = NULL;

    if (times)
        json_read(times, strlen(times), TIMES_DEPTH, &list, &problem);
    return list;
}

/* The times of the first `count` lines. Caller frees; NULL when there are none. */
static char *times_prefix(const char *times, int64_t count)
{
    json_object *list = lines_times(times);
    struct text out = {0};

    if (!json_object_is_type(list, json_type_array)) {
        json_object_put(list);
        return NULL;
    }
    text_puts(&out, "[");
    for (size_t i = 0; i < json_object_array_length(list) && count > 0; i++) {
        json_object *pair = json_object_array_get_idx(list, i);
        int64_t n = json_object_get_int64(json_object_array_get_idx(pair, 0));

        n = n < count ? n : count;
        text_printf(&out, "%s[%lld,%lld]", out.size > 1 ? "," : "", (long long)n,
                    (long long)json_object_get_int64(json_object_array_get_idx(pair, 1)));
        count -= n;
    }
    text_add(&out, "]", 2); /* and its NUL */
    json_object_put(list);
    return out.failed ? NULL : out.bytes;
}

static bool step_done(sqlite3_stmt *statement)
{
    int result = statement ? sqlite3_step(statement) : SQLITE_ERROR;

    if (statement)
        sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

/* Shortens the chunk at rowid to keep lines. */
static bool shorten_chunk(struct txn *txn, int64_t rowid, const char *text, size_t size,
                          const char *times, int64_t keep)
{
    sqlite3_stmt *update =
        txn_statement(txn, "UPDATE chunks SET count=?2, text=?3, times=?4 WHERE rowid=?1");
    AUTO_FREE char *kept_times = times_prefix(times, keep);

    if (!update)
        return false;
    sqlite3_bind_int64(update, 1, rowid);
    sqlite3_bind_int64(update, 2, keep);
    if (text)
        sqlite3_bind_text(update, 3, text, (int)lines_prefix(text, size, keep), SQLITE_TRANSIENT);
    if (kept_times)
        sqlite3_bind_text(update, 4, kept_times, -1, SQLITE_TRANSIENT);
    return step_done(update);
}

/* log = log[0:from] */
static bool cut(struct txn *txn, int64_t run, int64_t from, int64_t *stored)
{
    sqlite3_stmt *last = txn_statement(
        txn,
        "SELECT rowid, first, count, text, times FROM chunks WHERE run=? AND first+count>? AND "
        "first>="
        "coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND first<=?2),0) ORDER BY first");
    bool ok = true;

    if (!last)
        return false;
    statement_bind(last, "ii", run, from);
    while (ok && sqlite3_step(last) == SQLITE_ROW) {
        int64_t rowid = sqlite3_column_int64(last, 0), first = sqlite3_column_int64(last, 1);
        const char *text = column_text(last, 3);
        size_t size = (size_t)sqlite3_column_bytes(last, 3);

        if (first < from) {
            *stored -= text ? (int64_t)(size - lines_prefix(text, size, from - first)) : 0;
            ok = shorten_chunk(txn, rowid, text, size, column_text(last, 4), from - first);
        } else {
            *stored -= (int64_t)size;
        }
    }
    sqlite3_reset(last);
    if (ok) {
        sqlite3_stmt *delete = txn_statement(txn, "DELETE FROM chunks WHERE run=? AND first>=?");

        if (!delete)
            return false;
        statement_bind(delete, "ii", run, from);
        ok = step_done(delete);
    }
    return ok;
}

static bool put(struct txn *txn, int64_t run, int64_t first, int64_t count, const char *text,
                size_t size, const char *times)
{
    sqlite3_stmt *insert = txn_statement(
        txn, "INSERT OR REPLACE INTO chunks(run, first, count, version, at, text, times) "
             "VALUES(?,?,?,?,?,?,?)");

    if (!insert)
        return false;
    statement_bind(insert, "iiiii", run, first, count, txn_version(txn), txn->now_ms);
    if (text)
        sqlite3_bind_text(insert, 6, text, (int)size, SQLITE_STATIC);
    if (times)
        sqlite3_bind_text(insert, 7, times, -1, SQLITE_STATIC);
    return step_done(insert);
}

/* Whether the log from `from` on is already these lines: the retry of a batch whose answer was
   lost. Only whole chunks need be looked at: a retry is cut as the first try was. */
static bool same_already(struct txn *txn, int64_t run, int64_t from, int64_t count, int64_t total,
                         const char *text, size_t size)
{
    sqlite3_stmt *find;
    bool same = false;

    if (from + count != total || count == 0)
        return from == total && count == 0;
    find = txn_statement(txn, "SELECT count, text FROM chunks WHERE run=? AND first=?");
    if (!find)
        return false;
    statement_bind(find, "ii", run, from);
    if (sqlite3_step(find) == SQLITE_ROW && sqlite3_column_int64(find, 0) == count &&
        column_text(find, 1))
        same = (size_t)sqlite3_column_bytes(find, 1) == size &&
               memcmp(column_text(find, 1), text, size) == 0;
    sqlite3_reset(find);
    return same;
}

int lines_splice(struct txn *txn, int64_t run, int64_t from, const char *text, size_t size,
                 int64_t count, const char *times, int64_t *total, int64_t *stored)
{
    char now[64];

    if (same_already(txn, run, from, count, *total, text, size))
        return 0;
    if (from < *total && !cut(txn, run, from, stored))
        return -1;
    if (from > *total && !put(txn, run, *total, from - *total, NULL, 0, NULL))
        return -1;
    snprintf(now, sizeof now, "[[%lld,%lld]]", (long long)count, (long long)txn->now_ms);
    /* Without lines it is a log that became shorter: the empty chunk tells readers so, until the
     * next one takes its place. */
    if (!put(txn, run, from, count, count ? text : "", count ? size : 0,
             count ? (times ? times : now) : NULL))
        return -1;
    *total = from + count;
    *stored += (int64_t)size;
    return 1;
}

/* Compares what of a chunk is from `from` on with the text at *at, which moves on. False: they
 * differ. *whole: the text is all there. */
static bool compare_chunk(sqlite3_stmt *chunk, int64_t from, const char **at, const char *end,
                          bool *whole)
{
    int64_t first = sqlite3_column_int64(chunk, 0), skip = from > first ? from - first : 0;
    const char *there = column_text(chunk, 2);
    size_t size = (size_t)sqlite3_column_bytes(chunk, 2), left = (size_t)(end - *at), start, length;

    if (!there)
        return false;
    start = skip ? lines_prefix(there, size, skip) + 1 : 0;
    length = size - start < left ? size - start : left;
    if (memcmp(there + start, *at, length) != 0)
        return false;
    if (length == left)
        return *whole = start + length == size || there[start + length] == '\n';
    if ((*at)[length] != '\n')
        return false;
    *at += length + 1;
    return true;
}

bool lines_equal(struct txn *txn, int64_t run, int64_t from, const char *text, size_t size)
{
    sqlite3_stmt *chunks =
        txn_statement(txn, "SELECT first, count, text FROM chunks WHERE run=?1 AND first+count>?2 "
                           "AND first>=coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND "
                           "first<=?2),0) ORDER BY first");
    const char *at = text;
    bool whole = false;

    if (!chunks)
        return false;
    statement_bind(chunks, "ii", run, from);
    while (!whole && sqlite3_step(chunks) == SQLITE_ROW &&
           compare_chunk(chunks, from, &at, text + size, &whole))
        ;
    sqlite3_reset(chunks);
    return whole;
}

bool lines_digest(struct txn *txn, int64_t run, char out[65])
{
    sqlite3_stmt *all =
        txn_statement(txn, "SELECT count, text FROM chunks WHERE run=? ORDER BY first");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    bool ok = all && context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1, first = true;

    if (ok)
        statement_bind(all, "i", run);
    while (ok && sqlite3_step(all) == SQLITE_ROW) {
        if (!column_text(all, 1)) {
            ok = false;
        } else if (sqlite3_column_int64(all, 0) > 0) {
            if (!first)
                EVP_DigestUpdate(context, "\n", 1);
            EVP_DigestUpdate(context, column_text(all, 1), (size_t)sqlite3_column_bytes(all, 1));
            first = false;
        }
    }
    if (all)
        sqlite3_reset(all);
    ok = ok && EVP_DigestFinal_ex(context, digest, &length) == 1;
    for (unsigned i = 0; ok && i < length; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(context);
    return ok;
}

int lines_shorten(struct txn *txn, int64_t run, int64_t total, int64_t *stored, int64_t bytes)
{
    sqlite3_stmt *middle =
        txn_statement(txn, "SELECT rowid, first, count, length(CAST(text AS BLOB)) FROM chunks "
                           "WHERE run=? AND first>=? ORDER BY first");
    int64_t gap_first = -1, gap_end = 0, keep_front = bytes / 4, seen = 0;
    bool ok = middle;

    if (!ok || *stored <= bytes)
        return ok ? 0 : -1;
    statement_bind(middle, "ii", run, (int64_t)0);
    while (ok && *stored > bytes && sqlite3_step(middle) == SQLITE_ROW) {
        int64_t first = sqlite3_column_int64(middle, 1),
                end = first + sqlite3_column_int64(middle, 2),
                size = sqlite3_column_int64(middle, 3);

        bool is_gap = sqlite3_column_type(middle, 3) == SQLITE_NULL;

        if (gap_first < 0 && !is_gap && seen + size <= keep_front) {
            seen += size;
            continue;
        } /* the front ends at a gap, so that what was dropped before and now is one */
        if (end >= total)
            break; /* the newest chunk stays, however large */
        if (gap_first < 0)
            gap_first = first;
        gap_end = end;
        *stored -= size;
    }
    sqlite3_reset(middle);
    if (gap_first < 0)
        return 0;
    middle = txn_statement(txn, "DELETE FROM chunks WHERE run=? AND first>=? AND first<?");
    statement_bind(middle, "iii", run, gap_first, gap_end);
    return step_done(middle) && put(txn, run, gap_first, gap_end - gap_first, NULL, 0, NULL) ? 1
                                                                                             : -1;
}
