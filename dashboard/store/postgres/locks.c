/* Locks hosts. Each host has one of a fixed number of rows, found by a hash. So a host need not
   exist to be locked, and no row is left behind. One statement locks the rows, in their order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/store/postgres/postgres.h"
#include "dashboard/store/postgres/schema.h"

#define SLOT_TEXT 8 /* bytes of a number and a comma */

/* FNV-1a. All servers must use the same hash, also those of another version. */
static unsigned slot_of(const char *host)
{
    uint32_t hash = 2166136261u;

    for (; *host; host++)
        hash = (hash ^ (unsigned char)*host) * 16777619u;
    return hash % (unsigned)atoi(LOCK_SLOTS);
}

/* slots: "{1,2,3}". */
static void lock_slots(struct txn *txn, const char *slots)
{
    struct statement *lock =
        txn_statement(txn, "SELECT count(*) FROM (SELECT slot FROM locks WHERE slot=ANY(CAST(?1 AS "
                           "int[])) ORDER BY slot FOR UPDATE) l");

    if (lock)
        statement_bind(lock, "t", slots);
}

bool pg_lock_hosts(struct txn *txn, const struct job *group)
{
    size_t count = 0, size = 1;
    char *slots;

    for (const struct job *job = group; job; job = job->next)
        count += job->host != NULL;
    if (count == 0)
        return true;
    if (!(slots = malloc(count * SLOT_TEXT + 2)))
        return false;
    slots[0] = '{';
    for (const struct job *job = group; job; job = job->next)
        if (job->host)
            size += (size_t)sprintf(slots + size, "%s%u", size > 1 ? "," : "", slot_of(job->host));
    strcpy(slots + size, "}");
    lock_slots(txn, slots);
    free(slots);
    return true;
}

void pg_lock_host(struct txn *txn, const char *host)
{
    char slots[2 * SLOT_TEXT];

    snprintf(slots, sizeof slots, "{%u}", slot_of(host));
    lock_slots(txn, slots);
}
