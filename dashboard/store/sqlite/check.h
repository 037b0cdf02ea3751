/* Checks the database for damage. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_CHECK_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_CHECK_H

#include <sqlite3.h>
#include <stdbool.h>

#include "dashboard/store/sqlite/sqlite.h"

/* Checks the whole file (SQLite's quick_check). Returns 0, or -1 with a line in error that names
 * path. */
int check_structure(sqlite3 *db, const char *path, char error[STORE_ERROR_SIZE]);

/* A thread that reads all stored lines; damage is reported (damage.h). */
struct store_check;
/* structure: does the work of store_check first, for a file that takes too long at the start. path
 * must be valid until store_check_stop. NULL when out of resources; then nothing is checked. */
struct store_check *store_check_start(struct store *store, const char *path, bool structure);
/* True if damage was found, and logged. check may be NULL. */
bool store_check_failed(const struct store_check *check);
/* Ends the thread and frees check. NULL is allowed. */
void store_check_stop(struct store_check *check);

#endif
