/* Declarations for the files of this engine. One SQLite file (WAL, synchronous=FULL); the writer
   and each reading thread have a connection of their own. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_SQLITE_H

#include <sqlite3.h>

#include "dashboard/store/sql/sql.h"

#endif
