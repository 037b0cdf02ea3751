#include "dashboard/store/sqlite/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store_check {
    const char *path;
    sqlite3 *db;
    pthread_t thread;
    bool stopping, failed;
};

int store_check(sqlite3 *db, const char *path, char error[STORE_ERROR_SIZE])
{
    sqlite3_stmt *statement = NULL;
    const char *found = NULL;
    bool ok;

    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        found = column_text(statement, 0);
    ok = found && strcmp(found, "ok") == 0;
    if (!ok)
        snprintf(error, STORE_ERROR_SIZE, "%s is damaged (%s): restore a backup, or move it away",
                 path, found ? found : sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return ok ? 0 : -1;
}

static void *run(void *context)
{
    struct store_check *check = context;
    char error[STORE_ERROR_SIZE];

    if (store_check(check->db, check->path, error) < 0 &&
        !__atomic_load_n(&check->stopping, __ATOMIC_ACQUIRE)) {
        fprintf(stderr, "nixfleet-dashboard: %s\n", error);
        __atomic_store_n(&check->failed, true, __ATOMIC_RELEASE);
    }
    return NULL;
}

struct store_check *store_check_start(const char *path)
{
    struct store_check *check = calloc(1, sizeof *check);

    if (!check)
        return NULL;
    check->path = path;
    if (sqlite3_open_v2(path, &check->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, NULL) ==
            SQLITE_OK &&
        pthread_create(&check->thread, NULL, run, check) == 0)
        return check;
    sqlite3_close_v2(check->db);
    free(check);
    return NULL;
}

bool store_check_failed(const struct store_check *check)
{
    return check && __atomic_load_n(&check->failed, __ATOMIC_ACQUIRE);
}

void store_check_stop(struct store_check *check)
{
    if (!check)
        return;
    __atomic_store_n(&check->stopping, true, __ATOMIC_RELEASE);
    sqlite3_interrupt(check->db);
    pthread_join(check->thread, NULL);
    sqlite3_close_v2(check->db);
    free(check);
}
