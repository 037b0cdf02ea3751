/* When the write-ahead log is taken over into the database. SQLite would do it inside a commit, and
   the one whose report is in that commit would wait for it: 20 ms and more. Here reports are
   answered first; and a burst of large ones, as a run delivers them at its end, is let through
   before the log is seen to. Only the writer's thread calls. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_WAL_H

#include <sqlite3.h>
#include <stdbool.h>

#define STORE_LOG_IDLE_MS 50 /* without a job: the burst is over */

struct store_log {
    int frames;  /* pages in the log, as of the last commit; 0: nothing to take over */
    int commits; /* since it was last taken over */
};

/* Counts what db's commits write, in place of SQLite's own checkpoints. log must outlive db. */
void store_log_watch(struct store_log *log, sqlite3 *db);
/* Whether it is time. idle: nobody waits for the writer. */
bool store_log_due(const struct store_log *log, bool idle);
/* Takes over what no reader still needs; the rest when it is next due. */
void store_log_checkpoint(struct store_log *log, sqlite3 *db);

#endif
