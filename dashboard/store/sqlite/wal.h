/* Decides when to checkpoint: to copy the write-ahead log into the database. SQLite would do it
   inside a commit, and the report in that commit would wait for it, 20 ms and more. Here reports
   are answered first. A burst of large reports, as at the end of a run, is stored before the next
   checkpoint. Only the writer thread calls. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H

#include <sqlite3.h>
#include <stdbool.h>

#define WAL_IDLE_MS 50 /* without a job: a burst is over */

struct wal {
    int frames;  /* pages in the log, as of the last commit; 0: nothing to checkpoint */
    int commits; /* since the last checkpoint */
};

/* Counts what db's commits write, in place of SQLite's own checkpoints. log must outlive db. */
void wal_watch(struct wal *log, sqlite3 *db);
/* Whether a checkpoint is due. idle: no job waits. */
bool wal_due(const struct wal *log, bool idle);
/* Copies what no reader still needs; the rest is copied by a later checkpoint. */
void wal_checkpoint(struct wal *log, sqlite3 *db);

#endif
