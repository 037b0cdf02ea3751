/* Checksums of stored lines. SQLite itself finds a damaged structure, but not a damaged text. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQL_SUM_H
#define NIXFLEET_DASHBOARD_STORE_SQL_SUM_H

#include "dashboard/store/sql/sql.h"

/* The checksum of a chunk of the run with this key: the high half depends on its position and text,
 * the low half on its times. Returns 0, or -1 when out of memory. */
int chunk_sum(int64_t key, const struct chunk *chunk, int64_t *sum);

enum chunk_damage {
    CHUNK_GOOD,
    CHUNK_TIMES, /* the times are wrong, the text is right */
    CHUNK_TEXT,
    CHUNK_UNREAD, /* out of memory: not known */
};
enum chunk_damage chunk_check(int64_t key, const struct chunk *chunk, int64_t sum);

#endif
