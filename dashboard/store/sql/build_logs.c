/* The own logs of derivations. A log is stored in pieces, one for each splice. Lines that are in no
   piece were left out by the writer. derivations.log_lines is the length of a log; pieces behind
   this length are of another derivation that had the same index before. runs.builds_stored is the
   size of all logs of a run. */
#include <string.h>

#include "dashboard/store/lines.h"
#include "dashboard/store/sql/sql.h"

/* What is known of a log before a splice. */
struct build_log {
    int64_t key, n, lines, stored;
};

/* 1, 0 if there is no such derivation, or -1. */
static int find_log(struct txn *txn, struct build_log *log)
{
    struct statement *find =
        txn_statement(txn, "SELECT d.log_lines, r.builds_stored FROM derivations d JOIN runs r ON "
                           "r.k=d.run WHERE d.run=?1 AND d.n=?2");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "ii", log->key, log->n);
    if ((found = statement_first(find)) > 0) {
        log->lines = column_int64(find, 0);
        log->stored = column_int64(find, 1);
    }
    return statement_close(find, found);
}

/* Whether the piece has the text at *at from line `line` on; moves *at and *line behind it. */
static bool compare_piece(struct statement *piece, int64_t *line, const char **at, const char *end)
{
    int64_t first = column_int64(piece, 0), skip = *line - first;
    const char *text = column_text(piece, 2);
    size_t size = column_size(piece, 2), left = (size_t)(end - *at), start, length;

    if (!text || skip < 0 || skip >= column_int64(piece, 1))
        return false;
    start = skip ? lines_prefix(text, size, skip) + 1 : 0;
    length = size - start < left ? size - start : left;
    if (memcmp(text + start, *at, length) != 0)
        return false;
    *line = first + column_int64(piece, 1);
    *at += length;
    if (length < size - start)
        return text[start + length] == '\n'; /* the rest of the piece are other lines */
    if (*at < end)
        return *(*at)++ == '\n';
    return true;
}

/* Whether the log has these lines already: a writer that begins again sends them once more. */
static int has_lines(struct txn *txn, const struct build_log *log, const struct chunk *lines)
{
    struct statement *find;
    const char *at = lines->text, *end = at + lines->size;
    int64_t line = lines->first;
    bool same = true;
    int step = 0;

    if (lines->first + lines->count > log->lines)
        return 0;
    find = txn_statement_many(
        txn, "SELECT first, count, text FROM build_logs WHERE run=?1 AND n=?2 AND first+count>?3 "
             "AND first<?4 ORDER BY first");
    if (!find)
        return -1;
    statement_bind(find, "iiii", log->key, log->n, lines->first, lines->first + lines->count);
    while (same && line < lines->first + lines->count && (step = statement_step(find)) > 0)
        same = compare_piece(find, &line, &at, end);
    if (statement_end(find, step) < 0)
        return -1;
    return same && line >= lines->first + lines->count && at == end;
}

/* The piece in front of line `from` that goes on behind it becomes shorter. *removed grows by the
 * bytes that it loses. */
static int shorten_piece(struct txn *txn, const struct build_log *log, int64_t from,
                         int64_t *removed)
{
    struct statement *find =
        txn_statement(txn, "SELECT first, text FROM build_logs WHERE run=?1 AND n=?2 AND first<?3 "
                           "AND first+count>?3");
    int64_t first = 0;
    size_t kept = 0;
    const char *text = NULL;
    int found, result = 0;

    if (!find)
        return -1;
    statement_bind(find, "iii", log->key, log->n, from);
    if ((found = statement_first(find)) > 0 && (text = column_text(find, 1))) {
        first = column_int64(find, 0);
        kept = lines_prefix(text, column_size(find, 1), from - first);
        *removed += (int64_t)(column_size(find, 1) - kept);
        result =
            txn_exec(txn,
                     "UPDATE build_logs SET count=?4, size=?5, text=?6 WHERE run=?1 AND n=?2 "
                     "AND first=?3",
                     "iiiiib", log->key, log->n, first, from - first, (int64_t)kept, text, kept);
    }
    return statement_close(find, found) < 0 ? -1 : result;
}

/* log = log[0:from] */
static int cut(struct txn *txn, const struct build_log *log, int64_t from, int64_t *removed)
{
    struct statement *find =
        txn_statement(txn, "SELECT CAST(coalesce(sum(size),0) AS bigint) FROM build_logs WHERE "
                           "run=?1 AND n=?2 AND first>=?3");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "iii", log->key, log->n, from);
    if ((found = statement_first(find)) > 0)
        *removed += column_int64(find, 0);
    if (statement_close(find, found) < 0 || shorten_piece(txn, log, from, removed) < 0)
        return -1;
    return txn_exec(txn, "DELETE FROM build_logs WHERE run=?1 AND n=?2 AND first>=?3", "iii",
                    log->key, log->n, from);
}

int sql_txn_build_log_splice(struct txn *txn, int64_t key, int64_t n, const struct chunk *lines,
                             int64_t most)
{
    struct build_log log = {.key = key, .n = n};
    int64_t removed = 0, size = (int64_t)lines->size;
    int found = find_log(txn, &log), same;

    if (found <= 0)
        return found;
    if ((same = has_lines(txn, &log, lines)) != 0)
        return same < 0 ? -1 : 0;
    if (cut(txn, &log, lines->first < log.lines ? lines->first : log.lines, &removed) < 0)
        return -1;
    if (log.stored - removed + size > most)
        size = -1; /* no space: only what was cut off is gone */
    else if (txn_exec(txn,
                      "INSERT INTO build_logs(run, n, first, count, size, text) "
                      "VALUES(?1,?2,?3,?4,?5,?6)",
                      "iiiiib", key, n, lines->first, lines->count, size, lines->text,
                      lines->size) < 0)
        return -1;
    if (txn_exec(txn, "UPDATE derivations SET log_lines=?3 WHERE run=?1 AND n=?2", "iii", key, n,
                 size < 0 ? lines->first < log.lines ? lines->first : log.lines
                          : lines->first + lines->count) < 0 ||
        txn_exec(txn, "UPDATE runs SET builds_stored=builds_stored+?2 WHERE k=?1", "ii", key,
                 (size < 0 ? 0 : size) - removed) < 0)
        return -1;
    return size >= 0;
}

/* ---- reading ---- */

int64_t sql_store_build_log_lines(struct store *store, int64_t key, int64_t n)
{
    struct statement *find =
        store_statement(store, "SELECT log_lines FROM derivations WHERE run=?1 AND n=?2");
    int64_t lines = 0;
    int found;

    if (!find)
        return -1;
    statement_bind(find, "ii", key, n);
    if ((found = statement_first(find)) > 0)
        lines = column_int64(find, 0);
    return statement_close(find, found) < 0 ? -1 : lines;
}

/* A reading of a log: the next line that the visitor gets. */
struct reading {
    int64_t next;
    bool (*visit)(void *context, const struct chunk *chunk);
    void *context;
};

/* Visits the lines up to `until` as left out, if there are any. */
static bool pass_gap(struct reading *reading, int64_t until)
{
    int64_t next = reading->next;

    if (until <= next)
        return true;
    reading->next = until;
    return reading->visit(reading->context, &(struct chunk){.first = next, .count = until - next});
}

static bool pass_piece(struct reading *reading, struct statement *row)
{
    struct chunk piece = {.first = column_int64(row, 0),
                          .count = column_int64(row, 1),
                          .text = column_text(row, 2),
                          .size = column_size(row, 2)};

    if (!pass_gap(reading, piece.first))
        return false;
    reading->next = piece.first + piece.count;
    return reading->visit(reading->context, &piece);
}

int sql_store_build_log(struct store *store, int64_t key, int64_t n, int64_t from,
                        bool (*visit)(void *context, const struct chunk *chunk), void *context)
{
    struct reading reading = {.next = from, .visit = visit, .context = context};
    int64_t lines = sql_store_build_log_lines(store, key, n);
    struct statement *find;
    bool more = true;
    int step = 0;

    if (lines <= 0)
        return (int)lines;
    find = store_statement_many(
        store, "SELECT first, count, text FROM build_logs WHERE run=?1 AND n=?2 AND first+count>?3 "
               "AND first<?4 ORDER BY first");
    if (!find)
        return -1;
    statement_bind(find, "iiii", key, n, from, lines);
    while (more && (step = statement_step(find)) > 0)
        more = pass_piece(&reading, find);
    if (statement_end(find, step) < 0)
        return -1;
    if (more)
        pass_gap(&reading, lines);
    return 0;
}
