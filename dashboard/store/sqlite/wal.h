/* Decides when to checkpoint, that is, to copy the write-ahead log into the database. SQLite would
   do this inside a commit, and the report in that commit would wait 20 ms and more. Here reports
   are answered first. A burst of large reports, as at the end of a run, is stored before the next
   checkpoint. Only the writer thread calls. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H

#include <sqlite3.h>
#include <stdbool.h>

#define WAL_IDLE_MS 50 /* without a job for this time, a burst is over */

struct wal {
    int frames;  /* pages in the log after the last commit; 0: nothing to checkpoint */
    int commits; /* since the last checkpoint */
};

/* Counts the pages that commits of db write, in place of SQLite's own checkpoints. log must be
 * valid until db is closed. */
void wal_watch(struct wal *log, sqlite3 *db);
/* Whether a checkpoint is due. idle: no job waits. */
bool wal_due(const struct wal *log, bool idle);
/* Copies what no reader still needs; a later checkpoint copies the rest. */
void wal_checkpoint(struct wal *log, sqlite3 *db);

#endif
