/* Taking what is in the write-ahead log into the database beside the work: a commit that did it
   itself would keep those who wait for it for the time of two syncs and some megabytes. */
#ifndef NIXFLEET_DASHBOARD_STORE_CHECKPOINT_H
#define NIXFLEET_DASHBOARD_STORE_CHECKPOINT_H

#include <sqlite3.h>

struct store_checkpoint;

/* Takes over the checkpoints of `writer`, a connection in WAL mode to the database at path; both
   outlive it. NULL when out of resources: the connection then goes on by itself. */
struct store_checkpoint *store_checkpoint_start(sqlite3 *writer, const char *path);
/* After the writer's last commit. checkpoint may be NULL. */
void store_checkpoint_stop(struct store_checkpoint *checkpoint);

#endif
