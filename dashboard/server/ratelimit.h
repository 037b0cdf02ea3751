/* Rate limits with fixed windows of a minute for each key (v1: client address and URL path). Memory
   is bounded: if the table is full of current windows, the oldest is replaced. Any thread may
   call. Servers that share a store tell each other what they count (sharing.h). */
#ifndef NIXFLEET_DASHBOARD_SERVER_RATELIMIT_H
#define NIXFLEET_DASHBOARD_SERVER_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/rows.h"

struct ratelimit;

#define RATELIMIT_WINDOW_MS 60000

/* Makes a table of at most slots keys. NULL with errno ENOMEM. */
struct ratelimit *ratelimit_new(size_t slots);
void ratelimit_free(struct ratelimit *limit);

/* Counts one call of address to path at now_ms (monotonic). Returns 0 if it is one of the first
   `calls` in its window, else the milliseconds (> 0) until the next window; -1 when out of
   memory. */
int64_t ratelimit_take(struct ratelimit *limit, const char *address, const char *path, int calls,
                       int64_t now_ms);

/* The key of address and path, the same on every server. 0, or -1 when out of memory. */
int ratelimit_key(const char *address, const char *path, unsigned char key[CALLS_KEY_SIZE]);
/* Finds up to max windows with calls that were not claimed yet: sets key and added of the rows.
   Returns how many. */
size_t ratelimit_claim(struct ratelimit *limit, int64_t now_ms, struct calls_row *rows, size_t max);
/* Takes over what all servers have counted; the rows have calls and age_ms. */
void ratelimit_learn(struct ratelimit *limit, int64_t now_ms, const struct calls_row *rows,
                     size_t count);

#endif
