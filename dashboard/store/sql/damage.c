#include "dashboard/store/sql/damage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* damages that are reported; with more of them the store is lost, and one line says so */
#define TOLD_MAX 1000

struct damage {
    pthread_mutex_t lock; /* protects told and count */
    struct {
        char run[RUN_ID_SIZE];
        int64_t first;
    } told[TOLD_MAX];
    size_t count;
    atomic_bool any;
};

struct damage *damage_new(void)
{
    struct damage *damage = calloc(1, sizeof *damage);

    if (damage)
        pthread_mutex_init(&damage->lock, NULL);
    return damage;
}

void damage_free(struct damage *damage)
{
    if (!damage)
        return;
    pthread_mutex_destroy(&damage->lock);
    free(damage);
}

/* The caller holds the lock. */
static bool was_told(const struct damage *damage, const char *run, int64_t first)
{
    for (size_t i = 0; i < damage->count; i++)
        if (damage->told[i].first == first && strcmp(damage->told[i].run, run) == 0)
            return true;
    return false;
}

void damage_found(struct damage *damage, const char *host, const char *run, int64_t first,
                  int64_t count)
{
    pthread_mutex_lock(&damage->lock);
    if (damage->count < TOLD_MAX && !was_told(damage, run, first)) {
        snprintf(damage->told[damage->count].run, RUN_ID_SIZE, "%s", run);
        damage->told[damage->count++].first = first;
        log_line(LOG_ERR,
                 "damaged: host %s, run %s, lines %lld to %lld; restore a "
                 "backup if they matter",
                 host, run, (long long)first + 1, (long long)first + (long long)count);
        if (damage->count == TOLD_MAX)
            log_line(LOG_WARNING, "more is damaged, and is not listed");
    }
    pthread_mutex_unlock(&damage->lock);
    atomic_store(&damage->any, true);
}

bool damage_any(const struct damage *damage)
{
    return atomic_load(&damage->any);
}
