/* Replaces the database by a backup. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_RESTORE_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_RESTORE_H

#include "dashboard/store/store.h"

/* store_restore of store.h for this engine. */
int sqlite_restore(const char *dir, const char *file, char kept[STORE_ERROR_SIZE],
                   char error[STORE_ERROR_SIZE]);

#endif
