#include "dashboard/store/sqlite/rowsum.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

#define SUM "row_sum"
#define GOOD "row_good"
#define NAMED 4 /* arguments of GOOD in front of the columns */

/* filled: the step of the schema that last changed the columns. all: a statement that reads all
 * rows. key: finds the row of a trigger again. names: two columns that name the row to a person. */
static const struct table {
    int filled;
    const char *name, *all, *key, *names;
} tables[] = {
    {12, "hosts", "SELECT count(*) FROM hosts", "rowid=NEW.rowid", "id, NULL"},
    {13, "runs", "SELECT count(*) FROM runs", "k=NEW.k", "host, id"},
    {12, "verdicts", "SELECT count(*) FROM verdicts", "host=NEW.host AND name=NEW.name",
     "host, name"},
    {13, "derivations", "SELECT count(*) FROM derivations", "run=NEW.run AND n=NEW.n", "run, name"},
    {13, "build_logs", "SELECT count(*) FROM build_logs",
     "run=NEW.run AND n=NEW.n AND first=NEW.first", "run, n"},
    {12, "run_changes", "SELECT count(*) FROM run_changes", "run=NEW.run", "run, NULL"},
    {12, "history", "SELECT count(*) FROM history", "id=NEW.id", "host, message"},
    {12, "command_log", "SELECT count(*) FROM command_log", "id=NEW.id", "host, command"},
    {12, "durations", "SELECT count(*) FROM durations",
     "host=NEW.host AND name=NEW.name AND kind=NEW.kind AND what=NEW.what", "host, name"},
    {14, "kv", "SELECT count(*) FROM kv", "name=NEW.name", "name, NULL"},
    {14, "sessions", "SELECT count(*) FROM sessions", "token_hash=NEW.token_hash", "NULL, NULL"},
};
#define TABLES (sizeof tables / sizeof *tables)

const char *rowsum_all(size_t i)
{
    return i < TABLES ? tables[i].all : NULL;
}

/* ---- the checksum ---- */

/* FNV-1a: enough against damage, and it needs no memory. */
static uint64_t add(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static int64_t sum_of(int count, sqlite3_value **values)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (int i = 0; i < count; i++) {
        unsigned char type = (unsigned char)sqlite3_value_type(values[i]);
        int64_t number = type == SQLITE_INTEGER ? sqlite3_value_int64(values[i]) : 0;

        sum = add(sum, &type, 1);
        if (type == SQLITE_INTEGER) {
            sum = add(sum, &number, sizeof number);
        } else if (type != SQLITE_NULL) {
            const void *bytes = sqlite3_value_blob(values[i]);

            sum = add(sum, bytes, (size_t)sqlite3_value_bytes(values[i]));
        }
    }
    return (int64_t)sum;
}

static void row_sum(sqlite3_context *context, int count, sqlite3_value **values)
{
    sqlite3_result_int64(context, sum_of(count, values));
}

static const char *text_of(sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);

    return text ? text : "";
}

/* GOOD(table, sum, names, columns). A row whose checksum is NULL has lost it. */
static void row_good(sqlite3_context *context, int count, sqlite3_value **values)
{
    bool good = sqlite3_value_type(values[1]) == SQLITE_INTEGER &&
                sqlite3_value_int64(values[1]) == sum_of(count - NAMED, values + NAMED);

    if (!good)
        damage_row_found(sqlite3_user_data(context), text_of(values[0]), text_of(values[2]),
                         text_of(values[3]));
    sqlite3_result_int(context, good);
}

static int make_function(sqlite3 *db, const char *name,
                         void (*function)(sqlite3_context *, int, sqlite3_value **), void *data)
{
    return sqlite3_create_function(db, name, -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, data, function,
                                   NULL, NULL);
}

/* ---- statements for each table ---- */

/* The columns of a table but the checksum, each behind the prefix ("NEW."). The caller frees. NULL:
 * out of memory, or the store failed. */
static char *columns_of(sqlite3 *db, const char *table, const char *prefix)
{
    sqlite3_stmt *find = NULL;
    char *columns = NULL;

    if (sqlite3_prepare_v2(db,
                           "SELECT group_concat(?2||'\"'||name||'\"',',') FROM "
                           "pragma_table_info(?1) WHERE name<>'sum'",
                           -1, &find, NULL) == SQLITE_OK &&
        sqlite3_bind_text(find, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_text(find, 2, prefix, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(find) == SQLITE_ROW && sqlite3_column_text(find, 0))
        columns = strdup((const char *)sqlite3_column_text(find, 0));
    sqlite3_finalize(find);
    return columns;
}

/* Runs a statement that sqlite3_mprintf made, and frees it. */
static int run(sqlite3 *db, char *sql)
{
    int result = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return result;
}

static int fill(sqlite3 *db, const struct table *table)
{
    AUTO_FREE char *all = columns_of(db, table->name, "");

    return all ? run(db, sqlite3_mprintf("UPDATE %s SET sum=" SUM "(%s)", table->name, all))
               : SQLITE_NOMEM;
}

/* A row that is damaged already stays so: a change of another column must not make it good. */
static int make_triggers(sqlite3 *db, const struct table *table)
{
    AUTO_FREE char *all = columns_of(db, table->name, ""),
                   *before = columns_of(db, table->name, "OLD."),
                   *after = columns_of(db, table->name, "NEW.");
    int result = SQLITE_NOMEM;

    if (all && before && after)
        result = run(db, sqlite3_mprintf("CREATE TEMP TRIGGER %s_inserted AFTER INSERT ON main.%s "
                                         "BEGIN UPDATE %s SET sum=" SUM "(%s) WHERE %s; END",
                                         table->name, table->name, table->name, after, table->key));
    if (result != SQLITE_OK)
        return result;
    return run(db, sqlite3_mprintf("CREATE TEMP TRIGGER %s_updated AFTER UPDATE OF %s ON main.%s "
                                   "BEGIN UPDATE %s SET sum=CASE WHEN OLD.sum=" SUM "(%s) THEN " SUM
                                   "(%s) END WHERE %s; END",
                                   table->name, all, table->name, table->name, before, after,
                                   table->key));
}

/* A SELECT of the rows of a table whose checksum is right; the caller frees it with sqlite3_free.
 * NULL: out of memory, or the store failed. GOOD is in a subquery because SQLite evaluates
 * subqueries last. SQLite may pass the 1 of a condition `column=1` to GOOD instead of the column;
 * so GOOD must see only rows that fulfil the condition. */
static char *good_rows(sqlite3 *db, const struct table *table)
{
    AUTO_FREE char *all = columns_of(db, table->name, "");

    return all ? sqlite3_mprintf("SELECT %s FROM main.%s WHERE (SELECT " GOOD "('%s',sum,%s,%s))",
                                 all, table->name, table->name, table->names, all)
               : NULL;
}

static int make_view(sqlite3 *db, const struct table *table)
{
    char *good = good_rows(db, table);
    int result = good ? run(db, sqlite3_mprintf("CREATE TEMP VIEW %s AS %s", table->name, good))
                      : SQLITE_NOMEM;

    sqlite3_free(good);
    return result;
}

char *rowsum_with(sqlite3 *db)
{
    char *with = sqlite3_mprintf("WITH ");

    for (size_t i = 0; i < TABLES && with; i++) {
        char *good = good_rows(db, &tables[i]), *before = with;

        with = good ? sqlite3_mprintf("%s%s%s AS NOT MATERIALIZED (%s)", before, i ? ", " : "",
                                      tables[i].name, good)
                    : NULL;
        sqlite3_free(before);
        sqlite3_free(good);
    }
    return with;
}

static int for_each(sqlite3 *db, int (*make)(sqlite3 *, const struct table *))
{
    int result = SQLITE_OK;

    for (size_t i = 0; i < TABLES && result == SQLITE_OK; i++)
        result = make(db, &tables[i]);
    return result;
}

int rowsum_fill(sqlite3 *db, int step)
{
    int result = make_function(db, SUM, row_sum, NULL);

    for (size_t i = 0; i < TABLES && result == SQLITE_OK; i++)
        if (tables[i].filled == step)
            result = fill(db, &tables[i]);
    return result;
}

int rowsum_write(sqlite3 *db, struct damage *damage)
{
    int result = make_function(db, SUM, row_sum, NULL);

    if (result == SQLITE_OK)
        result = make_function(db, GOOD, row_good, damage);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    return result == SQLITE_OK ? for_each(db, make_triggers) : result;
}

int rowsum_read(sqlite3 *db, struct damage *damage)
{
    int result = make_function(db, GOOD, row_good, damage);

    if (result == SQLITE_OK)
        result = sqlite3_exec(db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    return result == SQLITE_OK ? for_each(db, make_view) : result;
}
