/* Declarations for engines that use SQL: the statements, and the functions of store.h that are made
   of them. An engine has a driver, which prepares and runs statements. The statements use only what
   all these engines understand: no rowid, no INSERT OR REPLACE, no min and max of two values.
   Parameters are `?` or `?1`. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_SQL_H
#define NIXFLEET_DASHBOARD_STORE_SQL_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/engine.h"

struct damage;
struct sql_driver;

/* The beginning of the struct store of such an engine. */
struct sql_store {
    struct store_head head;
    const struct sql_driver *driver;
    struct damage *damage; /* for reporting damage */
};

/* The beginning of a driver's prepared statement. */
struct statement {
    const struct sql_driver *driver;
};

/* A parameter: a number, or a text of size bytes (NULL: no value). */
struct sql_value {
    bool is_text;
    bool is_null; /* of a number */
    int64_t number;
    const char *text;
    size_t size;
    bool lives; /* the text is valid until the statement was run, or is reset */
};
#define SQL_VALUES_MAX 48

/* How an engine runs statements; the functions below say what each must do. `many`: only a part of
 * the rows is in memory at any time. */
struct sql_driver {
    struct statement *(*txn_prepare)(struct txn *txn, const char *sql, bool many);
    struct statement *(*store_prepare)(struct store *store, const char *sql, bool many);
    int (*bind)(struct statement *statement, const struct sql_value *values, int count);
    int (*step)(struct statement *statement);
    /* -1: column_text had no memory for a text of the rows that were read. */
    int (*reset)(struct statement *statement);
    /* Runs a bound statement that returns no rows. An engine may return 0 before it knows the
     * result; if the statement fails later, the job fails. */
    int (*run)(struct txn *txn, struct statement *statement);
    int64_t (*rows)(struct txn *txn);
    int64_t (*version)(struct txn *txn);
    void (*lock_host)(struct txn *txn, const char *host);
    int64_t (*lines_wait_from)(int64_t since_ms);
    /* Makes new keys and versions larger than those that were copied. 0 or -1. */
    int (*copied)(struct txn *txn);
    bool (*column_null)(struct statement *statement, int column);
    int64_t (*column_int64)(struct statement *statement, int column);
    const char *(*column_text)(struct statement *statement, int column);
    size_t (*column_size)(struct statement *statement, int column);
};

/* The functions of store.h that all these engines share: sql_txn_host_seen and so on. */
#define SQL_FUNCTION(name) __typeof__(name) sql_##name;
STORE_SHARED_FUNCTIONS(SQL_FUNCTION)
/* Reads the fields hosts and runs_open of store_counts. */
void sql_count(struct store *store, struct store_counts *counts);

/* A prepared statement of the writer's connection, or of a reading connection of this thread, which
 * is kept for the next use. It is reset and has no bindings. sql is a literal: its address is the
 * key. The caller resets a reading statement before it returns, because a statement in use holds a
 * connection or an old state of the store. NULL on an error. The _many forms are for results that
 * may be large. */
struct statement *txn_statement(struct txn *txn, const char *sql);
struct statement *txn_statement_many(struct txn *txn, const char *sql);
struct statement *store_statement(struct store *store, const char *sql);
struct statement *store_statement_many(struct store *store, const char *sql);

/* Binds the parameters in order. types: "t" const char * (or NULL), "b" const char * and size_t (or
 * NULL), "i" int64_t. Texts must be valid until the statement was run, or is reset. Invalid UTF-8
 * is replaced (see store.h). */
void statement_bind(struct statement *statement, const char *types, ...);
/* Binds and runs a statement that returns no rows. Returns 0 or -1. */
int txn_exec(struct txn *txn, const char *sql, const char *types, ...);
/* The number of rows that the last txn_exec changed; -1: it failed. */
int64_t txn_rows(struct txn *txn);
/* The next version: larger than all earlier versions of the run, also after a restart. */
int64_t txn_version(struct txn *txn);

/* Must be called before a job that names no host (struct job) changes the host: prevents other
 * servers from changing the host until the end of the transaction. */
void txn_lock_host(struct txn *txn, const char *host);

/* From which key on the engine removes lines of hidden runs by itself, if these runs were last
 * heard of before since_ms (wall clock). INT64_MAX: it removes none. */
int64_t store_lines_wait_from(struct store *store, int64_t since_ms);

/* Steps to the next row. 1: there is one; 0: no more; -1: failed. */
int statement_step(struct statement *statement);
/* Steps to the first row; does not copy it. NULL is allowed. 1: there is one; 0: none; -1:
 * failed. */
int statement_first(struct statement *statement);
/* Ends reading, and resets; `step` is the last result of statement_step. Returns 0; or -1 if that
 * failed, or column_text had no memory for a text: then what was read must not be used. */
int statement_end(struct statement *statement, int step);

/* Ends reading one row; `found` is the result of statement_first. Returns `found`, or -1 as
 * above. */
int statement_close(struct statement *statement, int found);

/* The text of a column, or NULL; also NULL when out of memory (see statement_end). Valid until the
 * next step. */
const char *column_text(struct statement *statement, int column);
/* The size in bytes of column_text. */
size_t column_size(struct statement *statement, int column);
bool column_null(struct statement *statement, int column);
/* 0 for NULL. */
int64_t column_int64(struct statement *statement, int column);
/* Copies the text of a column; "" for NULL. */
void column_copy(struct statement *statement, int column, char *out, size_t size);

/* For reporting damage. */
struct damage *store_damage(struct store *store);

#endif
