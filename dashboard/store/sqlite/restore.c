/* Replaces the database by a backup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "dashboard/store/sqlite/check.h"
#include "dashboard/store/sqlite/restore.h"
#include "dashboard/store/sqlite/schema.h"

/* The files of the database. The write-ahead log and its index must never be used with another
 * database. */
static const char *const parts[] = {"nixfleet.db", "nixfleet.db-wal", "nixfleet.db-shm"};

static int fail(char error[STORE_ERROR_SIZE], const char *path, const char *why)
{
    snprintf(error, STORE_ERROR_SIZE, "%s: %s", path, why);
    return -1;
}

/* Whether file is an undamaged store of this version or an older one. */
static int examine(sqlite3 *db, const char *file, char error[STORE_ERROR_SIZE])
{
    sqlite3_stmt *statement = NULL;
    int64_t version = 0;

    if (check_structure(db, file, error) < 0)
        return -1;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (version == 0)
        return fail(error, file, "is not a backup of a nixfleet dashboard");
    if (version > SCHEMA_STEPS)
        return fail(error, file, "is of a newer version of nixfleet");
    return 0;
}

/* Copies the store in file to the new file `copy`, complete and on disk. */
static int copy_store(const char *file, const char *copy, char error[STORE_ERROR_SIZE])
{
    sqlite3 *from = NULL, *to = NULL;
    sqlite3_backup *backup;
    int result = -1;

    unlink(copy); /* left by a restore that was interrupted */
    if (sqlite3_open_v2(file, &from, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_exec(from, "SELECT 1 FROM sqlite_master", NULL, NULL, NULL) != SQLITE_OK) {
        fail(error, file, sqlite3_errmsg(from));
    } else if (examine(from, file, error) == 0) {
        if (sqlite3_open_v2(copy, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
                SQLITE_OK &&
            (backup = sqlite3_backup_init(to, "main", from, "main"))) {
            result = sqlite3_backup_step(backup, -1) == SQLITE_DONE ? 0 : -1;
            sqlite3_backup_finish(backup);
        }
        if (result < 0)
            fail(error, copy, sqlite3_errmsg(to));
    }
    sqlite3_close_v2(from);
    sqlite3_close_v2(to);
    return result;
}

static int sync_path(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -1 : fsync(fd);
}

/* Moves the old files, if there are any, into the new directory kept. */
static int move_away(const char *dir, const char *kept, char error[STORE_ERROR_SIZE])
{
    if (mkdir(kept, 0700) < 0)
        return fail(error, kept, strerror(errno));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        AUTO_FREE char *from = NULL, *to = NULL;

        if (asprintf(&from, "%s/%s", dir, parts[i]) < 0 ||
            asprintf(&to, "%s/%s", kept, parts[i]) < 0)
            return fail(error, dir, "out of memory");
        if (rename(from, to) < 0 && errno != ENOENT)
            return fail(error, from, strerror(errno));
    }
    return 0;
}

int sqlite_restore(const char *dir, const char *file, char kept[STORE_ERROR_SIZE],
                   char error[STORE_ERROR_SIZE])
{
    AUTO_FREE char *copy = NULL, *path = NULL;
    struct stat owner;
    char stamp[32];
    time_t now = time(NULL);

    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", gmtime(&now));
    snprintf(kept, STORE_ERROR_SIZE, "%s/before-restore-%s", dir, stamp);
    if (asprintf(&copy, "%s/nixfleet.db.new", dir) < 0 ||
        asprintf(&path, "%s/nixfleet.db", dir) < 0)
        return fail(error, dir, "out of memory");
    umask(077);
    if (stat(dir, &owner) < 0)
        return fail(error, dir, strerror(errno));
    /* The copy is complete before the old database is touched. */
    if (copy_store(file, copy, error) < 0)
        return -1;
    if (chmod(copy, 0600) < 0 || (geteuid() == 0 && chown(copy, owner.st_uid, owner.st_gid) < 0) ||
        sync_path(copy) < 0)
        return fail(error, copy, strerror(errno));
    if (move_away(dir, kept, error) < 0)
        return -1;
    if (rename(copy, path) < 0 || sync_path(dir) < 0)
        return fail(error, path, strerror(errno));
    if (geteuid() == 0 && chown(kept, owner.st_uid, owner.st_gid) < 0)
        return fail(error, kept, strerror(errno));
    return 0;
}
