/* v1's side of a host: its history, its command slot, the log of commands. For the writer's
   jobs. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_COMMANDS_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_COMMANDS_H

#include <stdbool.h>

#include "dashboard/store/sqlite/engine.h"

/* Adds a line to a host's history. output may be NULL. */
bool fleet_history(struct txn *txn, const char *host, const char *icon, const char *message,
                   const char *output);
/* Takes the waiting command out of the host's slot (dropped when it waited over 5 minutes) and
 * notes it as running. "" if there is none. */
bool fleet_take_command(struct txn *txn, const char *host, char out[32]);
/* Runs one statement whose parameters are types and values, as statement_bind; true if it is
   done. */
bool fleet_run(struct txn *txn, const char *sql, const char *types, ...);

#endif
