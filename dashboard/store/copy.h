/* Copying a whole store into another one, of the same engine or another. No server may use either
   of them meanwhile. */
#ifndef NIXFLEET_DASHBOARD_STORE_COPY_H
#define NIXFLEET_DASHBOARD_STORE_COPY_H

#include "dashboard/store/store.h"

/* Copies all of the store at `from` into the store at `to` (see store_open), and verifies the copy:
 * both are read again, and the digests of each table are compared. copied is called after each
 * table. A copy that was interrupted continues where it was; until the copy is whole,
 * store_unfinished says so of `to`. Returns 0, or -1 with a sentence in error: `to` has data that
 * is no part of a copy, a store failed, or the copy differs. */
int store_copy(const char *from, const char *to,
               void (*copied)(void *context, const char *table, int64_t rows), void *context,
               char error[STORE_ERROR_SIZE]);

/* Whether the store is a copy that is not whole: 1 or 0; -1: cannot be read. */
int store_unfinished(struct store *store);

#endif
