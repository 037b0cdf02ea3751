/* Declarations for the files of this engine. One SQLite file (WAL, synchronous=FULL); the writer
   and each reading thread have a connection of their own. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "dashboard/store/jobs.h"
#include "dashboard/store/sql/clock.h"
#include "dashboard/store/sql/sql.h"
#include "dashboard/store/sqlite/wal.h"

#define SQLITE_STATEMENTS_MAX 96 /* of one connection */
#define SQLITE_BUSY_MS 5000

/* A statement that is prepared once and used often. */
struct kept {
    struct statement head;
    const char *sql; /* the address of the literal is the key */
    sqlite3_stmt *statement;
    bool *failed; /* of the reader; NULL: of the writer */
};

struct statements {
    bool *failed; /* for each of them */
    struct kept kept[SQLITE_STATEMENTS_MAX];
    size_t count;
};

struct store {
    struct sql_store sql;
    char *path, *log_path; /* the database and its write-ahead log */
    pthread_key_t reader;
    struct store_check *check;
    struct jobs jobs;
    struct changes changes;

    sqlite3 *db;                /* the fields from here on belong to the writer thread */
    struct stat file, log_file; /* the database and its write-ahead log; st_ino 0: not seen yet */
    bool gone;                  /* one of them was removed or replaced, and this was logged */
    struct statements statements;
    struct wal wal;
    struct store_clock clock;
    char *with; /* in front of what the writer reads (rowsum_with) */
    int64_t version;
    bool version_used;
};

/* Runs a text of one or more statements. Returns an SQLite error code. */
int sqlite_exec(sqlite3 *db, const char *sql);

/* ---- writer.c ---- */

/* The function of the writer thread; context is the store. */
void *sqlite_write_groups(void *context);

/* ---- driver.c ---- */

extern const struct sql_driver sqlite_driver;

/* Frees the statements of a connection. */
void sqlite_finalize(struct statements *statements);
/* Prepares for the reading connections: each thread makes its own at its first read, and closes it
 * at its end. Returns 0, or -1 when out of resources. */
int sqlite_readers_init(struct store *store);
/* Closes the connection of this thread; no other thread may have one any more. */
void sqlite_readers_close(struct store *store);

void sqlite_store_snapshot(struct store *store);
void sqlite_store_snapshot_end(struct store *store);
bool sqlite_store_read_failed(struct store *store);

#endif
