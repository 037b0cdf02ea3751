#include "dashboard/store/sqlite/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/worker.h"
#include "dashboard/store/sqlite/rowsum.h"

struct store_check {
    struct store *store;
    const char *path;
    bool structure;
    sqlite3 *db;
    struct worker worker;
    atomic_bool failed;
};

int check_structure(sqlite3 *db, const char *path, char error[STORE_ERROR_SIZE])
{
    sqlite3_stmt *statement = NULL;
    const char *found = NULL;
    bool ok;

    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        found = (const char *)sqlite3_column_text(statement, 0);
    ok = found && strcmp(found, "ok") == 0;
    if (!ok)
        snprintf(error, STORE_ERROR_SIZE, "%s is damaged (%s): restore a backup, or move it away",
                 path, found ? found : sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return ok ? 0 : -1;
}

static bool go_on(void *context, const struct chunk *chunk)
{
    struct store_check *check = context;

    (void)chunk;
    return !worker_stopping(&check->worker);
}

/* Reading a log finds damage in it. One run at a time, so that no old state of the store is held
 * for long. */
static void check_logs(struct store_check *check)
{
    int64_t key = 0;

    while (!worker_stopping(&check->worker)) {
        struct statement *next = store_statement(
            check->store, "SELECT k FROM runs WHERE k>? AND deleted=0 ORDER BY k LIMIT 1");
        bool found;

        if (!next)
            return;
        statement_bind(next, "i", key);
        found = statement_first(next) > 0;
        key = found ? column_int64(next, 0) : 0;
        statement_close(next, 0);
        if (!found || sql_store_log(check->store, key, 0, go_on, check) < 0)
            return;
    }
}

/* The views of a reading connection find damaged rows. */
static void check_rows(struct store_check *check)
{
    const char *all;

    for (size_t i = 0; (all = rowsum_all(i)) && !worker_stopping(&check->worker); i++) {
        struct statement *rows = store_statement(check->store, all);

        if (rows)
            statement_close(rows, statement_first(rows));
    }
}

static void *run(void *context)
{
    struct store_check *check = context;
    char error[STORE_ERROR_SIZE];

    if (check->structure && check_structure(check->db, check->path, error) < 0) {
        if (!worker_stopping(&check->worker)) {
            log_line(LOG_ERR, "%s", error);
            atomic_store(&check->failed, true);
        }
        return NULL;
    }
    check_rows(check);
    check_logs(check);
    return NULL;
}

struct store_check *store_check_start(struct store *store, const char *path, bool structure)
{
    struct store_check *check = calloc(1, sizeof *check);

    if (!check)
        return NULL;
    check->store = store;
    check->path = path;
    check->structure = structure;
    worker_init(&check->worker);
    if (sqlite3_open_v2(path, &check->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, NULL) ==
            SQLITE_OK &&
        worker_start(&check->worker, run, check) == 0)
        return check;
    store_check_stop(check);
    return NULL;
}

bool store_check_failed(const struct store_check *check)
{
    return check && atomic_load(&check->failed);
}

void store_check_stop(struct store_check *check)
{
    if (!check)
        return;
    worker_ask_stop(&check->worker); /* so that the interruption is not reported as damage */
    if (check->worker.started)
        sqlite3_interrupt(check->db);
    worker_stop(&check->worker);
    worker_destroy(&check->worker);
    sqlite3_close_v2(check->db);
    free(check);
}
