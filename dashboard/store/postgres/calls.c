/* Counts calls of clients together with the other servers. Times are those of PostgreSQL's clock,
   so the clocks of the servers do not matter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hex.h"
#include "dashboard/store/postgres/postgres.h"

#define HEX_SIZE (2 * CALLS_KEY_SIZE + 1)
#define NUMBER_SIZE 21 /* with a comma */
#define NOW "CAST(extract(epoch FROM now())*1000 AS bigint)"
#define HOUR "3600000"

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct calls_row *)a)->key, ((const struct calls_row *)b)->key,
                  CALLS_KEY_SIZE);
}

/* The keys and the numbers as two arrays: "{a,b}" and "{1,2}". The buffers are large enough. */
static void write_arrays(const struct calls_row *rows, size_t count, char *keys, char *numbers)
{
    for (size_t i = 0; i < count; i++) {
        *keys++ = i ? ',' : '{';
        hex_encode(rows[i].key, CALLS_KEY_SIZE, keys);
        keys += HEX_SIZE - 1;
        numbers += sprintf(numbers, "%c%lld", i ? ',' : '{', (long long)rows[i].added);
    }
    strcpy(keys, "}");
    strcpy(numbers, "}");
}

/* One statement for all rows, in the order of their keys, so that servers never wait for each other
 * in a circle. A clock that was set back by more than a window ends the window, too. */
static struct statement *add_all(struct txn *txn, int64_t window_ms, const char *keys,
                                 const char *numbers)
{
    struct statement *add = txn_statement(
        txn,
        "INSERT INTO calls AS c(key, start, count) SELECT k, " NOW ", n FROM "
        "unnest(CAST(?1 AS text[]), CAST(?2 AS bigint[])) AS given(k, n) ORDER BY k COLLATE \"C\" "
        "ON CONFLICT(key) DO UPDATE SET "
        "start=CASE WHEN abs(excluded.start-c.start)>=?3 THEN excluded.start ELSE c.start END, "
        "count=excluded.count+CASE WHEN abs(excluded.start-c.start)>=?3 THEN 0 ELSE c.count END "
        "RETURNING c.count, " NOW "-c.start");

    if (add)
        statement_bind(add, "tti", keys, numbers, window_ms);
    return add;
}

/* The rows of the result are in the order of their keys. */
static int read_counts(struct statement *add, struct calls_row *rows, size_t count)
{
    size_t seen = 0;
    int step;

    while ((step = statement_step(add)) > 0 && seen < count) {
        struct calls_row *row = &rows[seen++];
        int64_t age_ms = column_int64(add, 1);

        row->calls = column_int64(add, 0);
        row->age_ms = age_ms > 0 ? age_ms : 0;
    }
    return statement_end(add, step) < 0 || step > 0 || seen < count ? -1 : 0;
}

int pg_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows, size_t count)
{
    char *keys = malloc(count * HEX_SIZE + 2), *numbers = malloc(count * NUMBER_SIZE + 2);
    struct statement *add = NULL;

    qsort(rows, count, sizeof *rows, by_key);
    if (keys && numbers) {
        write_arrays(rows, count, keys, numbers);
        add = add_all(txn, window_ms, keys, numbers);
    }
    free(keys);
    free(numbers);
    return add ? read_counts(add, rows, count) : -1;
}

void pg_calls_forget(struct connection *connection)
{
    connection_send(connection, "DELETE FROM calls WHERE key IN (SELECT key FROM calls WHERE "
                                "abs(start-" NOW ")>" HOUR " FOR UPDATE SKIP LOCKED)");
    connection_finish(connection);
}
