#include "dashboard/store/sql/damage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* damages that are reported; with more of them the store is lost, and one line says so */
#define REPORTED_MAX 1000

#define PLACE_SIZE 128

struct damage {
    pthread_mutex_t lock; /* protects reported and count */
    char reported[REPORTED_MAX][PLACE_SIZE];
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
static bool was_reported(const struct damage *damage, const char *place)
{
    for (size_t i = 0; i < damage->count; i++)
        if (strcmp(damage->reported[i], place) == 0)
            return true;
    return false;
}

/* place: identifies the damage, so that each damage is reported once. */
static void report(struct damage *damage, const char *place, const char *what)
{
    atomic_store(&damage->any, true);
    pthread_mutex_lock(&damage->lock);
    if (damage->count < REPORTED_MAX && !was_reported(damage, place)) {
        snprintf(damage->reported[damage->count++], PLACE_SIZE, "%s", place);
        log_line(LOG_ERR, "damaged: %s; restore a backup if it matters", what);
        if (damage->count == REPORTED_MAX)
            log_line(LOG_WARNING, "there is more damage, which is not listed");
    }
    pthread_mutex_unlock(&damage->lock);
}

void damage_found(struct damage *damage, const char *host, const char *run, int64_t first,
                  int64_t count)
{
    char place[PLACE_SIZE], what[256];

    snprintf(place, sizeof place, "%s %lld", run, (long long)first);
    snprintf(what, sizeof what, "host %s, run %s, lines %lld to %lld", host, run,
             (long long)first + 1, (long long)first + (long long)count);
    report(damage, place, what);
}

/* A damaged text may contain any bytes. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            *text = '?';
}

void damage_row_found(struct damage *damage, const char *table, const char *host, const char *name)
{
    char what[200];

    snprintf(what, sizeof what, "a row of %s (%.60s%s%.40s), which is not shown", table, host,
             *name ? ", " : "", name);
    make_printable(what);
    report(damage, what, what);
}

bool damage_any(const struct damage *damage)
{
    return atomic_load(&damage->any);
}
