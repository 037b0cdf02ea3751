/* A hash table with open addressing: a key may only be in a few neighbouring slots. The hash uses a
   random key, so that no client can choose the slot of another client. */
#include "dashboard/server/ratelimit.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS 8

struct window {
    unsigned char key[16];
    int64_t start_ms;
    int calls; /* 0: the slot is free */
};

struct ratelimit {
    pthread_mutex_t lock;
    unsigned char salt[16];
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
    if (RAND_bytes(limit->salt, sizeof limit->salt) != 1 ||
        pthread_mutex_init(&limit->lock, NULL) != 0) {
        free(limit);
        return NULL;
    }
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
static int make_key(const struct ratelimit *limit, const char *address, const char *path,
                    unsigned char digest[SHA256_DIGEST_LENGTH])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(context, limit->salt, sizeof limit->salt) &&
                EVP_DigestUpdate(context, address, strlen(address) + 1) &&
                EVP_DigestUpdate(context, path, strlen(path) + 1) &&
                EVP_DigestFinal_ex(context, digest, NULL);

    EVP_MD_CTX_free(context);
    return made ? 0 : -1;
}

/* The window of the key, or the slot for a new one: a free or ended one, else the oldest. */
static struct window *find(struct ratelimit *limit, const unsigned char *key, int64_t now_ms)
{
    struct window *oldest = NULL;
    size_t first;

    memcpy(&first, key, sizeof first);
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        struct window *window = &limit->windows[(first % limit->slots + i) % limit->slots];

        if (window->calls && now_ms - window->start_ms >= RATELIMIT_WINDOW_MS)
            window->calls = 0;
        if (window->calls && memcmp(window->key, key, sizeof window->key) == 0)
            return window;
        if (!oldest || (oldest->calls && (!window->calls || window->start_ms < oldest->start_ms)))
            oldest = window;
    }
    oldest->calls = 0;
    oldest->start_ms = now_ms;
    memcpy(oldest->key, key, sizeof oldest->key);
    return oldest;
}

int64_t ratelimit_take(struct ratelimit *limit, const char *address, const char *path, int calls,
                       int64_t now_ms)
{
    unsigned char key[SHA256_DIGEST_LENGTH];
    struct window *window;
    int64_t wait_ms = 0;

    if (make_key(limit, address, path, key) < 0)
        return -1;
    pthread_mutex_lock(&limit->lock);
    window = find(limit, key, now_ms);
    if (window->calls < calls)
        window->calls++;
    else
        wait_ms = window->start_ms + RATELIMIT_WINDOW_MS - now_ms;
    pthread_mutex_unlock(&limit->lock);
    return wait_ms;
}
