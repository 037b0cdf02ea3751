/* What the engines share that speak SQL: the statements, and the functions of store.h that consist
   of them. An engine brings a driver, which prepares and runs statements. The statements keep to
   what all these engines understand: no rowid, no INSERT OR REPLACE, no min and max of two values.
   Parameters are `?` or `?1`. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_SQL_H
#define NIXFLEET_DASHBOARD_STORE_SQL_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/engine.h"

struct damage;
struct sql_driver;

/* What the struct store of such an engine begins with. */
struct sql_store {
    struct store_head head;
    const struct sql_driver *driver;
    struct damage *damage; /* where damage that is found is told */
};

/* What the prepared statement of a driver begins with. */
struct statement {
    const struct sql_driver *driver;
};

/* A parameter: a number, or a text of size bytes (NULL: no value). */
struct sql_value {
    bool is_text;
    int64_t number;
    const char *text;
    size_t size;
    bool lives; /* the text lives until the statement was run, or is reset */
};
#define SQL_VALUES_MAX 24

/* How an engine runs statements; the functions below say what each has to do. `many`: of the rows
 * only some are in memory at any time. */
struct sql_driver {
    struct statement *(*txn_prepare)(struct txn *txn, const char *sql, bool many);
    struct statement *(*store_prepare)(struct store *store, const char *sql, bool many);
    int (*bind)(struct statement *statement, const struct sql_value *values, int count);
    int (*step)(struct statement *statement);
    /* -1: column_text had no memory for a text of the rows that were read. */
    int (*reset)(struct statement *statement);
    /* Runs a statement that was bound and returns no rows. An engine may return 0 before it knows
     * how the statement ends: if it fails then, the job fails. */
    int (*run)(struct txn *txn, struct statement *statement);
    int64_t (*rows)(struct txn *txn);
    int64_t (*version)(struct txn *txn);
    void (*lock_host)(struct txn *txn, const char *host);
    bool (*column_null)(struct statement *statement, int column);
    int64_t (*column_int64)(struct statement *statement, int column);
    const char *(*column_text)(struct statement *statement, int column);
    size_t (*column_size)(struct statement *statement, int column);
};

/* The functions of store.h that are the same in every such engine: sql_txn_host_seen and so on. */
#define SQL_FUNCTION(name) __typeof__(name) sql_##name;
STORE_SHARED_FUNCTIONS(SQL_FUNCTION)
/* The part of store_counts that is read: hosts and runs_open. */
void sql_count(struct store *store, struct store_counts *counts);

/* A prepared statement of the writer's connection, or of a reading connection of this thread, kept
 * for the next time: reset and with its bindings cleared. sql is a literal: its address is the key.
 * The caller resets a reading statement before it returns, because a statement in use holds a
 * connection or an old state of the store. NULL on an error. The _many forms are for results that
 * may be large. */
struct statement *txn_statement(struct txn *txn, const char *sql);
struct statement *txn_statement_many(struct txn *txn, const char *sql);
struct statement *store_statement(struct store *store, const char *sql);
struct statement *store_statement_many(struct store *store, const char *sql);

/* Binds the parameters in order. types: "t" const char * (or NULL), "b" const char * and size_t (or
 * NULL), "i" int64_t. Texts must live until the statement was run, or is reset. What is not UTF-8
 * is replaced (see store.h). */
void statement_bind(struct statement *statement, const char *types, ...);
/* Binds and runs a statement that returns no rows. 0 or -1. */
int txn_exec(struct txn *txn, const char *sql, const char *types, ...);
/* Rows that the last txn_exec changed; -1: it failed. */
int64_t txn_rows(struct txn *txn);
/* The next version: larger than every version of the run before, over restarts. */
int64_t txn_version(struct txn *txn);

/* Before a job that did not say whose host it is about (struct job) changes the host: keeps other
 * servers from changing it until the end of the transaction. */
void txn_lock_host(struct txn *txn, const char *host);

/* The next row. 1: there is one; 0: no more; -1: failed. */
int statement_step(struct statement *statement);
/* Steps to the first row and copies nothing. NULL is allowed. 1: there is one; 0; -1. */
int statement_first(struct statement *statement);
/* Ends reading: resets; `step` is the last result of statement_step. 0, or -1 if that failed, or
 * column_text had no memory for a text: then what was read must not be used. */
int statement_end(struct statement *statement, int step);

/* Ends reading one row: `found` is what statement_first returned. The same, or -1 as above. */
int statement_close(struct statement *statement, int found);

/* A column's text, or NULL; also NULL when out of memory (statement_end). Lives until the next
 * step.
 */
const char *column_text(struct statement *statement, int column);
/* Bytes of column_text. */
size_t column_size(struct statement *statement, int column);
bool column_null(struct statement *statement, int column);
/* 0 for NULL. */
int64_t column_int64(struct statement *statement, int column);
/* Copies a column's text, "" for NULL. */
void column_copy(struct statement *statement, int column, char *out, size_t size);

/* Where damage that is found is told. */
struct damage *store_damage(struct store *store);

#endif
