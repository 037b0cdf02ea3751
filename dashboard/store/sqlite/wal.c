#include "dashboard/store/sqlite/wal.h"

#include <stddef.h>

/* Numbers of frames of 4 KiB. Reads become slower as the log grows. So the steady small commits of
   a fleet are copied from the first limit on, while the few large commits of a burst may fill the
   log up to the second limit. */
#define FRAMES_ENOUGH 2000
#define FRAMES_MOST 16000
#define COMMITS_ENOUGH 64

static int count(void *context, sqlite3 *db, const char *schema, int frames)
{
    struct wal *log = context;

    (void)db, (void)schema;
    log->frames = frames;
    log->commits++;
    return SQLITE_OK;
}

void wal_watch(struct wal *log, sqlite3 *db)
{
    sqlite3_wal_hook(db, count, log);
}

bool wal_due(const struct wal *log, bool idle)
{
    return log->frames >= FRAMES_ENOUGH &&
           (idle || log->commits >= COMMITS_ENOUGH || log->frames >= FRAMES_MOST);
}

void wal_checkpoint(struct wal *log, sqlite3 *db)
{
    /* A failure loses nothing: the commits are in the log. */
    (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    *log = (struct wal){0};
}
