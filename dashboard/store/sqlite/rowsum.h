/* Checksums of rows. SQLite finds a damaged structure, but not a damaged text or number in it. Log
   lines have a checksum of their own (store/sql/sum.h), which tells more.

   Each row has its checksum in the column `sum`. Temporary triggers of the writing connection keep
   it; temporary views of the reading connections, with the names of the tables, leave out rows
   whose checksum is wrong. The writing connection cannot have such views; its SELECTs have common
   table expressions with these names in front. So no statement of store/sql knows of checksums. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_ROWSUM_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_ROWSUM_H

#include <sqlite3.h>

#include "dashboard/store/sql/damage.h"

/* All return an SQLite error code. */

/* Makes the checksums of the tables whose columns have changed in this step of the schema. */
int rowsum_fill(sqlite3 *db, int step);
/* To be called once for the writing connection, and for each reading connection. Rows that are left
 * out are reported to damage. */
int rowsum_write(sqlite3 *db, struct damage *damage);
int rowsum_read(sqlite3 *db, struct damage *damage);

/* A WITH clause that makes a statement of the writing connection leave out damaged rows, too. The
 * caller frees it with sqlite3_free. NULL: out of memory, or the store failed. */
char *rowsum_with(sqlite3 *db);

/* For each i from 0 on, a statement that makes a reading connection check all rows of a table;
 * NULL: there are no more. */
const char *rowsum_all(size_t i);

#endif
