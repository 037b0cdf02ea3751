/* Binds, runs and reads prepared statements. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "dashboard/store/sql/sql.h"

static const struct sql_driver *driver_of(struct store *store)
{
    return ((struct sql_store *)store)->driver;
}

struct damage *store_damage(struct store *store)
{
    return ((struct sql_store *)store)->damage;
}

struct statement *txn_statement(struct txn *txn, const char *sql)
{
    return driver_of(txn->store)->txn_prepare(txn, sql, false);
}

struct statement *txn_statement_many(struct txn *txn, const char *sql)
{
    return driver_of(txn->store)->txn_prepare(txn, sql, true);
}

struct statement *store_statement(struct store *store, const char *sql)
{
    return driver_of(store)->store_prepare(store, sql, false);
}

struct statement *store_statement_many(struct store *store, const char *sql)
{
    return driver_of(store)->store_prepare(store, sql, true);
}

/* ---- parameters ---- */

struct values {
    struct sql_value list[SQL_VALUES_MAX];
    int count;
    char *repaired[SQL_VALUES_MAX]; /* copies of texts that were not UTF-8 */
    int repaired_count;
};

/* Returns 0, or -1 when out of memory. */
static int add_text(struct values *values, const char *text, size_t size)
{
    struct sql_value *value = &values->list[values->count++];
    char *valid;

    *value = (struct sql_value){.is_text = true, .text = text, .size = size, .lives = true};
    if (!text || utf8_valid(text, size))
        return 0;
    value->lives = false;
    value->text = valid = utf8_replace(text, size, &value->size);
    if (!valid)
        return -1;
    values->repaired[values->repaired_count++] = valid;
    return 0;
}

static int read_values(struct values *values, const char *types, va_list arguments)
{
    int failed = 0;

    for (; *types && values->count < SQL_VALUES_MAX; types++) {
        if (*types == 'i') {
            values->list[values->count++] =
                (struct sql_value){.number = va_arg(arguments, int64_t)};
        } else if (*types == 'b') {
            const char *text = va_arg(arguments, const char *);
            size_t size = va_arg(arguments, size_t);

            failed |= add_text(values, text, size);
        } else {
            const char *text = va_arg(arguments, const char *);

            failed |= add_text(values, text, text ? strlen(text) : 0);
        }
    }
    return failed;
}

/* Returns 0, or -1 when out of memory: then a parameter may be NULL, and the statement must not be
 * run. */
static int bind_list(struct statement *statement, const char *types, va_list arguments)
{
    struct values values;
    int failed;

    values.count = values.repaired_count = 0;
    failed = read_values(&values, types, arguments);
    failed |= statement->driver->bind(statement, values.list, values.count);
    while (values.repaired_count > 0)
        free(values.repaired[--values.repaired_count]);
    return failed ? -1 : 0;
}

void statement_bind(struct statement *statement, const char *types, ...)
{
    va_list arguments;

    va_start(arguments, types);
    /* Statements that read have identifiers as texts, which are UTF-8 and need no copy. */
    (void)bind_list(statement, types, arguments);
    va_end(arguments);
}

/* ---- running ---- */

int txn_exec(struct txn *txn, const char *sql, const char *types, ...)
{
    struct statement *statement = txn_statement(txn, sql);
    va_list arguments;
    int bound;

    if (!statement)
        return -1;
    va_start(arguments, types);
    bound = bind_list(statement, types, arguments);
    va_end(arguments);
    return bound < 0 ? -1 : statement->driver->run(txn, statement);
}

int64_t txn_rows(struct txn *txn)
{
    return driver_of(txn->store)->rows(txn);
}

int64_t txn_version(struct txn *txn)
{
    return driver_of(txn->store)->version(txn);
}

void txn_lock_host(struct txn *txn, const char *host)
{
    driver_of(txn->store)->lock_host(txn, host);
}

int64_t store_lines_wait_from(struct store *store, int64_t since_ms)
{
    return driver_of(store)->lines_wait_from(since_ms);
}

int statement_step(struct statement *statement)
{
    return statement->driver->step(statement);
}

int statement_first(struct statement *statement)
{
    return statement ? statement_step(statement) : -1;
}

int statement_end(struct statement *statement, int step)
{
    return statement->driver->reset(statement) < 0 || step < 0 ? -1 : 0;
}

int statement_close(struct statement *statement, int found)
{
    return statement->driver->reset(statement) < 0 ? -1 : found;
}

/* ---- columns ---- */

const char *column_text(struct statement *statement, int column)
{
    return statement->driver->column_text(statement, column);
}

size_t column_size(struct statement *statement, int column)
{
    return statement->driver->column_size(statement, column);
}

bool column_null(struct statement *statement, int column)
{
    return statement->driver->column_null(statement, column);
}

int64_t column_int64(struct statement *statement, int column)
{
    return statement->driver->column_int64(statement, column);
}

void column_copy(struct statement *statement, int column, char *out, size_t size)
{
    const char *text = column_text(statement, column);

    snprintf(out, size, "%s", text ? text : "");
}
