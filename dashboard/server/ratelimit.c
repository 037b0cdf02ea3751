/* A hash table with open addressing: a key may only be in a few neighbouring slots. The slot
   depends on a random multiplier, so that no client can choose the slot of another client. */
#include "dashboard/server/ratelimit.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS 8

struct window {
    unsigned char key[CALLS_KEY_SIZE];
    int64_t start_ms;
    int calls;   /* 0: the slot is free */
    int pending; /* the part of calls that was not claimed yet */
};

struct ratelimit {
    pthread_mutex_t lock;
    uint64_t multiplier; /* odd */
    uint64_t pending;    /* calls since the last claim that returned all of them */
    size_t slots;
    struct window windows[];
};

struct ratelimit *ratelimit_new(size_t slots)
{
    struct ratelimit *limit;

    slots = slots < NEIGHBOURS ? NEIGHBOURS : slots;
    limit = calloc(1, sizeof *limit + slots * sizeof limit->windows[0]);
    if (!limit)
        return NULL;
    if (RAND_bytes((unsigned char *)&limit->multiplier, sizeof limit->multiplier) != 1 ||
        pthread_mutex_init(&limit->lock, NULL) != 0) {
        free(limit);
        return NULL;
    }
    limit->multiplier |= 1;
    limit->slots = slots;
    return limit;
}

void ratelimit_free(struct ratelimit *limit)
{
    if (!limit)
        return;
    pthread_mutex_destroy(&limit->lock);
    free(limit);
}

/* Hashes both strings with their NULs, so that different pairs give different input. Returns 0 or
 * -1. */
static int make_key(const char *address, const char *path,
                    unsigned char digest[SHA256_DIGEST_LENGTH])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(context, address, strlen(address) + 1) &&
                EVP_DigestUpdate(context, path, strlen(path) + 1) &&
                EVP_DigestFinal_ex(context, digest, NULL);

    EVP_MD_CTX_free(context);
    return made ? 0 : -1;
}

int ratelimit_key(const char *address, const char *path, unsigned char key[CALLS_KEY_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (make_key(address, path, digest) < 0)
        return -1;
    memcpy(key, digest, CALLS_KEY_SIZE);
    return 0;
}

static size_t first_slot(const struct ratelimit *limit, const unsigned char *key)
{
    uint64_t number;

    memcpy(&number, key, sizeof number);
    return (size_t)((number * limit->multiplier) >> 32) % limit->slots;
}

/* Whether the window has ended, or is free. */
static bool is_over(const struct window *window, int64_t now_ms)
{
    return !window->calls || now_ms - window->start_ms >= RATELIMIT_WINDOW_MS;
}

/* The window of the key, or the slot for a new one: a free or ended one, else the oldest. */
static struct window *find(struct ratelimit *limit, const unsigned char *key, int64_t now_ms)
{
    struct window *oldest = NULL;
    size_t first = first_slot(limit, key);

    for (size_t i = 0; i < NEIGHBOURS; i++) {
        struct window *window = &limit->windows[(first + i) % limit->slots];

        if (is_over(window, now_ms))
            window->calls = 0;
        if (window->calls && memcmp(window->key, key, sizeof window->key) == 0)
            return window;
        if (!oldest || (oldest->calls && (!window->calls || window->start_ms < oldest->start_ms)))
            oldest = window;
    }
    *oldest = (struct window){.start_ms = now_ms};
    memcpy(oldest->key, key, sizeof oldest->key);
    return oldest;
}

int64_t ratelimit_take(struct ratelimit *limit, const char *address, const char *path, int calls,
                       int64_t now_ms)
{
    unsigned char key[SHA256_DIGEST_LENGTH];
    struct window *window;
    int64_t wait_ms = 0;

    if (make_key(address, path, key) < 0)
        return -1;
    pthread_mutex_lock(&limit->lock);
    window = find(limit, key, now_ms);
    if (window->calls < calls) {
        window->calls++;
        window->pending++;
        limit->pending++;
    } else {
        wait_ms = window->start_ms + RATELIMIT_WINDOW_MS - now_ms;
    }
    pthread_mutex_unlock(&limit->lock);
    return wait_ms;
}

/* ---- with other servers ---- */

static void claim_window(struct window *window, struct calls_row *row)
{
    *row = (struct calls_row){.added = window->pending};
    memcpy(row->key, window->key, sizeof row->key);
    window->pending = 0;
}

size_t ratelimit_claim(struct ratelimit *limit, int64_t now_ms, struct calls_row *rows, size_t max)
{
    size_t count = 0, slot = 0;

    pthread_mutex_lock(&limit->lock);
    for (; limit->pending && slot < limit->slots && count < max; slot++)
        if (limit->windows[slot].pending && !is_over(&limit->windows[slot], now_ms))
            claim_window(&limit->windows[slot], &rows[count++]);
    if (slot == limit->slots)
        limit->pending = 0;
    pthread_mutex_unlock(&limit->lock);
    return count;
}

void ratelimit_learn(struct ratelimit *limit, int64_t now_ms, const struct calls_row *rows,
                     size_t count)
{
    pthread_mutex_lock(&limit->lock);
    for (size_t i = 0; i < count; i++) {
        struct window *window = find(limit, rows[i].key, now_ms);

        window->calls = (int)rows[i].calls + window->pending;
        window->start_ms = now_ms - rows[i].age_ms;
    }
    pthread_mutex_unlock(&limit->lock);
}
