/* What the files of this engine share: prepared statements. One SQLite file (WAL,
   synchronous=FULL); the writer and each reading thread have a connection of their own. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/engine.h"

/* The functions of store.h, as this engine has them: sqlite_txn_host_seen and so on. */
#define ENGINE_FUNCTION(name) __typeof__(name) sqlite_##name;
STORE_FUNCTIONS(ENGINE_FUNCTION)

/* A prepared statement of the writer's connection, or of this thread's reading connection, kept for
 * the next time: reset and with its bindings cleared. sql is a literal: its address is the key. The
 * caller resets a reading statement before it returns, because a statement in use holds an old
 * state of the store. NULL on an error. */
sqlite3_stmt *txn_statement(struct txn *txn, const char *sql);
sqlite3_stmt *store_statement(struct store *store, const char *sql);

/* Binds the parameters in order. types: "t" const char * (or NULL), "b" const char * and size_t
 * (bytes that live until the statement is reset, or NULL), "i" int64_t. What is not UTF-8 is
 * replaced (see store.h). */
void statement_bind(sqlite3_stmt *statement, const char *types, ...);
/* Binds and runs a statement that returns no rows. 0 or -1. */
int txn_exec(struct txn *txn, const char *sql, const char *types, ...);
/* Rows that the last txn_exec changed. */
int64_t txn_rows(struct txn *txn);
/* The next version: larger than every version before, over restarts. */
int64_t txn_version(struct txn *txn);

/* Steps to the first row and copies nothing. 1: there is one; 0; -1. */
int statement_first(sqlite3_stmt *statement);
/* Ends reading: resets; `step` is the last result of sqlite3_step. 0 or -1. */
int statement_end(sqlite3_stmt *statement, int step);

/* A column's text, or NULL. Lives until the next step. */
const char *column_text(sqlite3_stmt *statement, int column);
bool column_null(sqlite3_stmt *statement, int column);
/* Copies a column's text, "" for NULL. */
void column_copy(sqlite3_stmt *statement, int column, char *out, size_t size);

/* Where damage that is found is told. */
struct damage *store_damage(struct store *store);

#endif
