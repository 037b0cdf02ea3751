/* Damaged lines and rows that were found. Each damage is logged once, with its host and run. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_DAMAGE_H
#define NIXFLEET_DASHBOARD_STORE_SQL_DAMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/store.h"

struct damage;

struct damage *damage_new(void);
void damage_free(struct damage *damage);
/* Logs damage, unless the same lines were reported before. Any thread may call. */
void damage_found(struct damage *damage, const char *host, const char *run, int64_t first,
                  int64_t count);
/* Does the same for a row of another table, which readers do not get. host, name: what is known of
 * the row. */
void damage_row_found(struct damage *damage, const char *table, const char *host, const char *name);
/* Whether damage was found since the start. */
bool damage_any(const struct damage *damage);

#endif
