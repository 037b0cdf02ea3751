/* A thread with a connection of its own makes passive checkpoints, which hold nobody up. But the
   log starts at its beginning again only when a commit finds all of it taken over, which under
   steady load never happens by itself: a log that has become large is finished by the writer, who
   finds little left. */
#include "store_checkpoint.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define STEP_FRAMES 2000  /* new in the log (8 MB) before they are taken over */
#define LARGE_FRAMES 8000 /* in the log (32 MB) before the writer does it */

struct store_checkpoint {
    sqlite3 *writer, *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool wanted, stopping;  /* under lock */
    int asked_at, next_own; /* frames; the writer's */
};

/* As far as it can be done now. What a reader or a full disk holds back is taken over the next
 * time. */
static int take_over(sqlite3 *db)
{
    return sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* False: it is over. */
static bool wait_until_wanted(struct store_checkpoint *checkpoint)
{
    bool more;

    pthread_mutex_lock(&checkpoint->lock);
    while (!checkpoint->stopping && !checkpoint->wanted)
        pthread_cond_wait(&checkpoint->wake, &checkpoint->lock);
    checkpoint->wanted = false;
    more = !checkpoint->stopping;
    pthread_mutex_unlock(&checkpoint->lock);
    return more;
}

static void *run(void *context)
{
    struct store_checkpoint *checkpoint = context;

    while (wait_until_wanted(checkpoint))
        (void)take_over(checkpoint->db);
    return NULL;
}

/* SQLite's hook: the writer has committed, and the log has so many frames now. */
static int committed(void *context, sqlite3 *writer, const char *database, int frames)
{
    struct store_checkpoint *checkpoint = context;

    (void)database;
    if (frames < checkpoint->asked_at) { /* it has begun again */
        checkpoint->asked_at = 0;
        checkpoint->next_own = LARGE_FRAMES;
    }
    if (frames - checkpoint->asked_at >= STEP_FRAMES) {
        checkpoint->asked_at = frames;
        pthread_mutex_lock(&checkpoint->lock);
        checkpoint->wanted = true;
        pthread_cond_signal(&checkpoint->wake);
        pthread_mutex_unlock(&checkpoint->lock);
    }
    if (frames >= checkpoint->next_own) /* again at once where the thread was just at it */
        checkpoint->next_own = frames + (take_over(writer) == SQLITE_BUSY ? 1 : STEP_FRAMES);
    return SQLITE_OK;
}

/* A connection that has read nothing does not know that there is a log, and takes nothing over. */
static bool open_database(struct store_checkpoint *checkpoint, const char *path)
{
    return sqlite3_open_v2(path, &checkpoint->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                           NULL) == SQLITE_OK &&
           sqlite3_exec(checkpoint->db, "PRAGMA schema_version", NULL, NULL, NULL) == SQLITE_OK;
}

struct store_checkpoint *store_checkpoint_start(sqlite3 *writer, const char *path)
{
    struct store_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);

    if (!checkpoint)
        return NULL;
    checkpoint->writer = writer;
    checkpoint->next_own = LARGE_FRAMES;
    pthread_mutex_init(&checkpoint->lock, NULL);
    pthread_cond_init(&checkpoint->wake, NULL);
    if (open_database(checkpoint, path) &&
        pthread_create(&checkpoint->thread, NULL, run, checkpoint) == 0) {
        sqlite3_wal_hook(writer, committed, checkpoint);
        return checkpoint;
    }
    sqlite3_close_v2(checkpoint->db);
    free(checkpoint);
    return NULL;
}

void store_checkpoint_stop(struct store_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    sqlite3_wal_hook(checkpoint->writer, NULL, NULL);
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->stopping = true;
    pthread_cond_signal(&checkpoint->wake);
    pthread_mutex_unlock(&checkpoint->lock);
    pthread_join(checkpoint->thread, NULL);
    pthread_cond_destroy(&checkpoint->wake);
    pthread_mutex_destroy(&checkpoint->lock);
    sqlite3_close_v2(checkpoint->db);
    free(checkpoint);
}
