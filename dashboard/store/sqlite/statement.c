/* Binding, running and reading prepared statements. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "common/utf8.h"
#include "dashboard/store/sqlite/sqlite.h"

/* Binds a text; static: it lives as long as the binding. */
static void bind_text(sqlite3_stmt *statement, int i, const char *text, size_t size, bool is_static)
{
    AUTO_FREE char *valid = NULL;

    if (!text)
        return; /* NULL already: bindings were cleared */
    if (!utf8_valid(text, size)) {
        if (!(valid = utf8_replace(text, size, &size)))
            return;
        text = valid;
    }
    sqlite3_bind_text(statement, i, text, (int)size,
                      is_static && !valid ? SQLITE_STATIC : SQLITE_TRANSIENT);
}

static void bind_list(sqlite3_stmt *statement, const char *types, va_list arguments)
{
    for (int i = 1; *types; types++, i++) {
        if (*types == 'i') {
            sqlite3_bind_int64(statement, i, va_arg(arguments, int64_t));
        } else if (*types == 'b') {
            const char *text = va_arg(arguments, const char *);
            size_t size = va_arg(arguments, size_t);

            bind_text(statement, i, text, size, true);
        } else {
            const char *text = va_arg(arguments, const char *);

            bind_text(statement, i, text, text ? strlen(text) : 0, false);
        }
    }
}

void statement_bind(sqlite3_stmt *statement, const char *types, ...)
{
    va_list arguments;

    va_start(arguments, types);
    bind_list(statement, types, arguments);
    va_end(arguments);
}

int txn_exec(struct txn *txn, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = txn_statement(txn, sql);
    va_list arguments;

    if (!statement)
        return -1;
    va_start(arguments, types);
    bind_list(statement, types, arguments);
    va_end(arguments);
    return statement_end(statement, sqlite3_step(statement));
}

int statement_first(sqlite3_stmt *statement)
{
    int step = statement ? sqlite3_step(statement) : SQLITE_ERROR;

    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
}

int statement_end(sqlite3_stmt *statement, int step)
{
    sqlite3_reset(statement);
    return step == SQLITE_DONE || step == SQLITE_ROW ? 0 : -1;
}

const char *column_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

bool column_null(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

void column_copy(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    const char *text = column_text(statement, column);

    snprintf(out, size, "%s", text ? text : "");
}
