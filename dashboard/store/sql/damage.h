/* Damaged lines that were found. Each damage is logged once, with its host, run and lines. */
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
/* Whether damage was found since the start. */
bool damage_any(const struct damage *damage);

#endif
