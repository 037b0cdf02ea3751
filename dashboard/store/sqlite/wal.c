#include "dashboard/store/sqlite/wal.h"

#include <stddef.h>

/* 4 KiB each. A log that grows costs the reads of everybody who works with it, which a fleet's
   steady small commits feel: they have it taken over at the first bound. The few large commits of a
   burst may fill it to the second. */
#define FRAMES_ENOUGH 2000
#define FRAMES_MOST 16000
#define COMMITS_ENOUGH 64

static int count(void *context, sqlite3 *db, const char *schema, int frames)
{
    struct store_log *log = context;

    (void)db, (void)schema;
    log->frames = frames;
    log->commits++;
    return SQLITE_OK;
}

void store_log_watch(struct store_log *log, sqlite3 *db)
{
    sqlite3_wal_hook(db, count, log);
}

bool store_log_due(const struct store_log *log, bool idle)
{
    return log->frames >= FRAMES_ENOUGH &&
           (idle || log->commits >= COMMITS_ENOUGH || log->frames >= FRAMES_MOST);
}

void store_log_checkpoint(struct store_log *log, sqlite3 *db)
{
    /* A failure loses nothing: what is committed is in the log. */
    (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    *log = (struct store_log){0};
}
