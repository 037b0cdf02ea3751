/* Damaged lines that were found: each is told once, with its host, run and lines. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_DAMAGE_H
#define NIXFLEET_DASHBOARD_STORE_SQL_DAMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/store/store.h"

struct damage;

struct damage *damage_new(void);
void damage_free(struct damage *damage);
/* From any thread. The same lines are told once. */
void damage_found(struct damage *damage, const char *host, const char *run, int64_t first,
                  int64_t count);
/* Whether any was found since the start. */
bool damage_any(const struct damage *damage);

#endif
