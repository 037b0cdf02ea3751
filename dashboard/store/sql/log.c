/* The lines of a run: splice, digest, shortening, reading. */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hex.h"
#include "common/io.h"
#include "common/utf8.h"
#include "dashboard/store/lines.h"
#include "dashboard/store/sql/damage.h"
#include "dashboard/store/sql/log.h"
#include "dashboard/store/sql/sql.h"
#include "dashboard/store/sql/sum.h"

/* out: the times of the first `count` lines, which the caller frees; NULL: none. Returns 0, or -1
 * when out of memory. */
static int times_prefix(const char *times, int64_t count, char **out)
{
    struct text list = {0}, text = {0};

    *out = NULL;
    if (!times)
        return 0;
    times_slice(&list, times, 0, count);
    text_puts(&text, "[");
    text_add(&text, list.bytes, list.size);
    text_add(&text, "]", 2); /* with its NUL */
    text.failed |= list.failed;
    text_free(&list);
    if (text.failed) {
        text_free(&text);
        return -1;
    }
    *out = text.bytes;
    return 0;
}

#define CHUNK_COLUMNS "first, count, text, times, sum"

/* Reads CHUNK_COLUMNS, from this column on, for the run with this key. A chunk that was stored
 * without a checksum counts as good. */
static enum chunk_damage read_chunk(struct statement *row, int column, int64_t key,
                                    struct chunk *chunk)
{
    *chunk = (struct chunk){.first = column_int64(row, column),
                            .count = column_int64(row, column + 1),
                            .text = column_text(row, column + 2),
                            .size = (size_t)column_size(row, column + 2),
                            .times = column_text(row, column + 3)};
    if ((!chunk->text && !column_null(row, column + 2)) ||
        (!chunk->times && !column_null(row, column + 3)))
        return CHUNK_UNREAD;
    return column_null(row, column + 4) ? CHUNK_GOOD
                                        : chunk_check(key, chunk, column_int64(row, column + 4));
}

/* Shortens the chunk to `keep` lines. A damaged chunk stays damaged: its new checksum is wrong,
 * too. */
static int shorten_chunk(struct txn *txn, int64_t key, const struct chunk *chunk, int64_t keep,
                         bool damaged)
{
    AUTO_FREE char *times = NULL;
    struct chunk kept = {.first = chunk->first,
                         .count = keep,
                         .text = chunk->text,
                         .size = chunk->text ? lines_prefix(chunk->text, chunk->size, keep) : 0};
    int64_t sum;

    if (times_prefix(chunk->times, keep, &times) < 0)
        return -1;
    kept.times = times;
    if (chunk_sum(key, &kept, &sum) < 0)
        return -1;
    return txn_exec(
        txn, "UPDATE chunks SET count=?3, text=?4, times=?5, sum=?6 WHERE run=?1 AND first=?2",
        "iiibti", key, chunk->first, keep, kept.text, kept.size, times, damaged ? ~sum : sum);
}

/* log = log[0:from] */
static int cut(struct txn *txn, struct run_row *row, int64_t from)
{
    struct statement *last = txn_statement_many(
        txn,
        "SELECT " CHUNK_COLUMNS " FROM chunks WHERE run=? AND first+count>? AND "
        "first>="
        "coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND first<=?2),0) ORDER BY first");
    int ok = 0, step = 0;

    if (!last)
        return -1;
    statement_bind(last, "ii", row->key, from);
    while (ok == 0 && (step = statement_step(last)) > 0) {
        struct chunk chunk;
        enum chunk_damage damage = read_chunk(last, 0, row->key, &chunk);
        int64_t keep = from - chunk.first;

        if (damage == CHUNK_UNREAD) {
            ok = -1;
        } else if (keep > 0) {
            row->stored -=
                chunk.text ? (int64_t)(chunk.size - lines_prefix(chunk.text, chunk.size, keep)) : 0;
            ok = shorten_chunk(txn, row->key, &chunk, keep, damage != CHUNK_GOOD);
        } else {
            row->stored -= (int64_t)chunk.size;
        }
    }
    if (statement_end(last, step) < 0 || ok < 0)
        return -1;
    return txn_exec(txn, "DELETE FROM chunks WHERE run=? AND first>=?", "ii", row->key, from);
}

static int put(struct txn *txn, int64_t key, const struct chunk *chunk)
{
    int64_t sum;

    if (chunk_sum(key, chunk, &sum) < 0)
        return -1;
    return txn_exec(txn,
                    "INSERT INTO chunks(run, first, count, version, at, text, times, sum) "
                    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(run, first) DO UPDATE SET "
                    "count=?3, version=?4, "
                    "at=?5, text=?6, times=?7, sum=?8",
                    "iiiiibti", key, chunk->first, chunk->count, txn_version(txn), txn->now_ms,
                    chunk->text, chunk->size, chunk->times, sum);
}

/* Whether the log from `from` on has these lines already, because this is the retry of a batch
   whose answer was lost. False also if the store failed: the lines are then stored once more. Only
   whole chunks must be compared, because a retry is divided like the first try. */
static bool same_already(struct txn *txn, const struct run_row *row, const struct chunk *lines)
{
    struct statement *find;
    bool same = false;

    if (lines->first + lines->count != row->lines || lines->count == 0)
        return lines->first == row->lines && lines->count == 0;
    find = txn_statement(txn, "SELECT count, text FROM chunks WHERE run=? AND first=?");
    if (!find)
        return false;
    statement_bind(find, "ii", row->key, lines->first);
    if (statement_first(find) > 0 && column_int64(find, 0) == lines->count && column_text(find, 1))
        same = (size_t)column_size(find, 1) == lines->size &&
               memcmp(column_text(find, 1), lines->text, lines->size) == 0;
    return statement_close(find, same) > 0;
}

static int splice(struct txn *txn, struct run_row *row, struct chunk lines)
{
    char now[64];

    if (same_already(txn, row, &lines))
        return 0;
    if (lines.first < row->lines && cut(txn, row, lines.first) < 0)
        return -1;
    if (lines.first > row->lines &&
        put(txn, row->key,
            &(struct chunk){.first = row->lines, .count = lines.first - row->lines}) < 0)
        return -1;
    snprintf(now, sizeof now, "[[%lld,%lld]]", (long long)lines.count, (long long)txn->now_ms);
    /* the log became shorter: an empty chunk shows this to readers, until the next chunk replaces
     * it */
    if (!lines.count) {
        lines.text = "";
        lines.size = 0;
        lines.times = NULL;
    } else if (!lines.times) {
        lines.times = now;
    }
    if (put(txn, row->key, &lines) < 0)
        return -1;
    row->lines = lines.first + lines.count;
    row->stored += (int64_t)lines.size;
    return 1;
}

int sql_txn_log_splice(struct txn *txn, struct run_row *row, const struct chunk *lines)
{
    AUTO_FREE char *valid = NULL;
    struct chunk chunk = *lines;

    if (chunk.text && !utf8_valid(chunk.text, chunk.size)) {
        if (!(valid = utf8_replace(chunk.text, chunk.size, &chunk.size)))
            return -1;
        chunk.text = valid;
    }
    return splice(txn, row, chunk);
}

/* Compares the part of a chunk behind line `from` with the text at *at, and moves *at behind it.
 * False: they differ. *whole: the whole text was found. */
static bool compare_chunk(struct statement *chunk, int64_t from, const char **at, const char *end,
                          bool *whole)
{
    int64_t first = column_int64(chunk, 0), skip = from > first ? from - first : 0;
    const char *there = column_text(chunk, 2);
    size_t size = (size_t)column_size(chunk, 2), left = (size_t)(end - *at), start, length;

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

int sql_txn_log_equal(struct txn *txn, int64_t key, int64_t from, const char *text, size_t size)
{
    struct statement *chunks = txn_statement_many(
        txn, "SELECT first, count, text FROM chunks WHERE run=?1 AND first+count>?2 "
             "AND first>=coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND "
             "first<=?2),0) ORDER BY first");
    const char *at = text;
    bool whole = false;
    int step = 0;

    if (!chunks)
        return -1;
    statement_bind(chunks, "ii", key, from);
    while (!whole && (step = statement_step(chunks)) > 0 &&
           compare_chunk(chunks, from, &at, text + size, &whole))
        ;
    return statement_end(chunks, step) < 0 ? -1 : whole;
}

/* 1: all lines were added; 0: there is a gap; -1: the store failed. Damaged lines need no check,
 * because they change the digest. */
static int digest_lines(struct statement *all, int64_t key, EVP_MD_CTX *context)
{
    int step = 0, added = 1;
    bool first = true;

    while (added > 0 && (step = statement_step(all)) > 0) {
        struct chunk chunk;

        if (read_chunk(all, 0, key, &chunk) == CHUNK_UNREAD)
            added = -1;
        else if (!chunk.text)
            added = 0;
        else if (chunk.count > 0) {
            if ((!first && EVP_DigestUpdate(context, "\n", 1) != 1) ||
                EVP_DigestUpdate(context, chunk.text, chunk.size) != 1)
                added = -1;
            first = false;
        }
    }
    return statement_end(all, step) < 0 ? -1 : added;
}

int sql_txn_log_digest(struct txn *txn, int64_t key, char out[STORE_HASH_SIZE])
{
    struct statement *all =
        txn_statement_many(txn, "SELECT " CHUNK_COLUMNS " FROM chunks WHERE run=? ORDER BY first");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int made = all && context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 ? 1 : -1;

    if (made > 0) {
        statement_bind(all, "i", key);
        made = digest_lines(all, key, context);
    }
    if (made > 0 && EVP_DigestFinal_ex(context, digest, &length) != 1)
        made = -1;
    if (made > 0)
        hex_encode(digest, length, out);
    EVP_MD_CTX_free(context);
    return made;
}

int sql_txn_log_shorten(struct txn *txn, struct run_row *row, int64_t bytes)
{
    struct statement *middle =
        txn_statement(txn, "SELECT first, count, octet_length(text) FROM chunks "
                           "WHERE run=? ORDER BY first");
    int64_t gap_first = -1, gap_end = 0, keep_front = bytes / 4, seen = 0;
    int step = 0;

    if (!middle || row->stored <= bytes)
        return middle ? 0 : -1;
    statement_bind(middle, "i", row->key);
    while (row->stored > bytes && (step = statement_step(middle)) > 0) {
        int64_t first = column_int64(middle, 0), end = first + column_int64(middle, 1),
                size = column_int64(middle, 2);
        bool is_gap = column_null(middle, 2);

        if (gap_first < 0 && !is_gap && seen + size <= keep_front) {
            seen += size;
            continue;
        } /* stop at the first gap, so that the old gap and the new one become one */
        if (end >= row->lines)
            break; /* the newest chunk stays, whatever its size */
        if (gap_first < 0)
            gap_first = first;
        gap_end = end;
        row->stored -= size;
    }
    if (statement_end(middle, step) < 0)
        return -1;
    if (gap_first < 0)
        return 0;
    if (txn_exec(txn, "DELETE FROM chunks WHERE run=? AND first>=? AND first<?", "iii", row->key,
                 gap_first, gap_end) < 0)
        return -1;
    return put(txn, row->key, &(struct chunk){.first = gap_first, .count = gap_end - gap_first}) < 0
               ? -1
               : 1;
}

/* The times of a damaged chunk stay as they are, and so does its checksum. */
static int move_chunk(struct txn *txn, int64_t key, const struct chunk *chunk, int64_t ms)
{
    struct text times = {0};
    struct chunk moved = *chunk;
    int64_t sum;
    int result = -1;

    times_move(&times, chunk->times, ms);
    text_add(&times, "", 1); /* its NUL */
    moved.times = times.bytes;
    if (!times.failed && chunk_sum(key, &moved, &sum) == 0)
        result = txn_exec(txn, "UPDATE chunks SET times=?3, sum=?4 WHERE run=?1 AND first=?2",
                          "iiti", key, chunk->first, moved.times, sum);
    text_free(&times);
    return result;
}

int log_move_times(struct txn *txn, int64_t key, int64_t ms)
{
    struct statement *chunks = txn_statement_many(
        txn, "SELECT " CHUNK_COLUMNS " FROM chunks WHERE run=? AND times IS NOT NULL");
    int step = 0, moved = 0;

    if (!chunks)
        return -1;
    statement_bind(chunks, "i", key);
    while (moved == 0 && (step = statement_step(chunks)) > 0) {
        struct chunk chunk;
        enum chunk_damage damage = read_chunk(chunks, 0, key, &chunk);

        if (damage == CHUNK_UNREAD)
            moved = -1;
        else if (damage == CHUNK_GOOD)
            moved = move_chunk(txn, key, &chunk, ms);
    }
    return statement_end(chunks, step) < 0 || moved < 0 ? -1 : 0;
}

/* ---- reading ---- */

/* The chunks of a log have no holes between them. A chunk that breaks this rule, or has a wrong
 * checksum, is damaged. */
struct reading {
    struct store *store;
    int64_t key, from, expected; /* expected: the first line of the next chunk */
    bool (*visit)(void *context, const struct chunk *chunk);
    void *context;
    bool failed; /* out of memory */
};

static void report_damage(const struct reading *reading, int64_t first, int64_t count)
{
    struct statement *find = store_statement(reading->store, "SELECT host, id FROM runs WHERE k=?");
    int found;

    if (!find)
        return;
    statement_bind(find, "i", reading->key);
    found = statement_first(find);
    if (found > 0 && column_text(find, 0) && column_text(find, 1))
        damage_found(store_damage(reading->store), column_text(find, 0), column_text(find, 1),
                     first, count);
    statement_close(find, found); /* if this fails, the next read reports the damage */
}

#define DAMAGED "[this line is damaged in the dashboard's store]"
#define DAMAGED_STEP 1000 /* replaced lines in one chunk */

/* Passes lines [expected, end) on as damaged. Returns the last result of visit. */
static bool visit_damaged(struct reading *reading, int64_t end)
{
    struct text text = {0};
    bool more = true;

    for (int64_t i = 0; i < DAMAGED_STEP; i++)
        text_puts(&text, i ? "\n" DAMAGED : DAMAGED);
    while (more && !text.failed && reading->expected < end) {
        int64_t left = end - reading->expected, count = left < DAMAGED_STEP ? left : DAMAGED_STEP;
        struct chunk chunk = {.first = reading->expected,
                              .count = count,
                              .text = text.bytes,
                              .size = (size_t)count * sizeof DAMAGED - 1};

        reading->expected += count;
        if (reading->expected > reading->from)
            more = reading->visit(reading->context, &chunk);
    }
    reading->failed |= text.failed;
    text_free(&text);
    return more && !reading->failed;
}

static bool visit_hole(struct reading *reading, int64_t end)
{
    if (end <= reading->expected)
        return true;
    report_damage(reading, reading->expected, end - reading->expected);
    return visit_damaged(reading, end);
}

/* end: the number of lines of the run. */
static bool visit_chunk(struct reading *reading, struct chunk *chunk, enum chunk_damage damage,
                        int64_t end)
{
    int64_t last = chunk->first + chunk->count;

    if (reading->expected >= 0 && !visit_hole(reading, chunk->first < end ? chunk->first : end))
        return false;
    if (damage == CHUNK_TEXT || chunk->count < 0 || last > end ||
        (reading->expected >= 0 && chunk->first < reading->expected)) {
        /* The numbers of its lines may be wrong as well, so everything up to the next chunk is
         * treated as a hole. */
        if (reading->expected < 0)
            reading->expected = chunk->first < end && chunk->first >= 0 ? chunk->first : 0;
        return true;
    }
    if (damage == CHUNK_TIMES) {
        report_damage(reading, chunk->first, chunk->count);
        chunk->times = NULL;
    }
    reading->expected = last;
    return last <= reading->from || reading->visit(reading->context, chunk);
}

int sql_store_log(struct store *store, int64_t key, int64_t from,
                  bool (*visit)(void *context, const struct chunk *chunk), void *context)
{
    struct statement *chunks = store_statement_many(
        store, "SELECT " CHUNK_COLUMNS ", (SELECT lines FROM runs WHERE k=?1) FROM chunks WHERE "
               "run=?1 AND first>=coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND "
               "first<=?2),0) ORDER BY first");
    struct reading reading = {store, key, from, from == 0 ? 0 : -1, visit, context, false};
    int64_t end = -1;
    bool more = true;
    int step = 0;

    if (!chunks)
        return -1;
    statement_bind(chunks, "ii", key, from);
    while (more && (step = statement_step(chunks)) > 0) {
        struct chunk chunk;
        enum chunk_damage damage = read_chunk(chunks, 0, key, &chunk);

        end = column_int64(chunks, 5);
        reading.failed = damage == CHUNK_UNREAD;
        more = !reading.failed && visit_chunk(&reading, &chunk, damage, end);
    }
    if (more && step == 0 && reading.expected >= 0)
        visit_hole(&reading, end);
    return statement_end(chunks, step) < 0 || reading.failed ? -1 : 0;
}

int sql_store_log_gaps(struct store *store, int64_t key,
                       void (*visit)(void *context, int64_t first, int64_t count), void *context)
{
    struct statement *gaps = store_statement(
        store, "SELECT first, count FROM chunks WHERE run=? AND text IS NULL ORDER BY first");
    int step;

    if (!gaps)
        return -1;
    statement_bind(gaps, "i", key);
    while ((step = statement_step(gaps)) > 0)
        visit(context, column_int64(gaps, 0), column_int64(gaps, 1));
    return statement_end(gaps, step);
}

/* ---- what is new ---- */

#define FEW_CHUNKS 8

#define CHANGE_FAILED (-2)

/* Reads the lowest line of a change and the newest version. Returns the line; -1: nothing changed;
 * CHANGE_FAILED. */
static int64_t read_change(struct statement *find, int64_t *newest)
{
    int64_t line = -1;
    int found = statement_first(find);

    if (found < 0)
        return CHANGE_FAILED;
    if (found > 0) {
        if (!column_null(find, 0))
            line = column_int64(find, 0);
        if (!column_null(find, 1))
            *newest = column_int64(find, 1);
    }
    return line;
}

/* A splice removes everything behind its first line. So the new chunks with text are the last ones,
 * and no index of versions is needed. A gap may also be made in the middle; gaps are few, and have
 * an index of their own. *few: no other chunk can be new. */
static int64_t change_of_last(struct store *store, int64_t key, int64_t version, int64_t *newest,
                              bool *few)
{
    struct statement *find = store_statement(
        store, "SELECT min(first), max(version), count(whole) FROM (SELECT * FROM (SELECT first, "
               "version, 1 AS whole FROM chunks WHERE run=?1 AND text IS NOT NULL ORDER BY first "
               "DESC LIMIT ?3) AS last UNION ALL SELECT first, version, NULL FROM chunks WHERE "
               "run=?1 AND text IS NULL) AS known WHERE version>?2");
    int64_t line;

    *few = true;
    if (!find)
        return CHANGE_FAILED;
    statement_bind(find, "iii", key, version, (int64_t)FEW_CHUNKS);
    line = read_change(find, newest);
    *few = line < 0 || column_int64(find, 2) < FEW_CHUNKS;
    statement_close(find, 0); /* no text was read */
    return line;
}

int64_t sql_store_log_changed(struct store *store, int64_t key, int64_t version, int64_t *newest)
{
    struct statement *find;
    bool few;
    int64_t line = change_of_last(store, key, version, newest, &few);

    if (few)
        return line;
    find = store_statement(store, "SELECT min(first), NULL FROM chunks WHERE run=?1 AND "
                                  "version>?2");
    if (!find)
        return CHANGE_FAILED;
    statement_bind(find, "ii", key, version);
    line = read_change(find, &(int64_t){0});
    statement_close(find, 0);
    return line;
}

int64_t sql_store_log_arrived(struct store *store, int64_t key, int64_t at_ms, int64_t *newest)
{
    struct statement *find = store_statement(
        store, "SELECT (SELECT min(first) FROM chunks WHERE run=?1 AND at>?2), (SELECT "
               "max(version) FROM (SELECT * FROM (SELECT version FROM chunks WHERE run=?1 AND text "
               "IS NOT NULL ORDER BY first DESC LIMIT 1) AS last UNION ALL SELECT version FROM "
               "chunks WHERE run=?1 AND text IS NULL) AS known)");
    int64_t line;

    if (!find)
        return CHANGE_FAILED;
    statement_bind(find, "ii", key, at_ms);
    line = read_change(find, newest);
    statement_close(find, 0);
    return line;
}
