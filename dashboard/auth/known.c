#include "dashboard/auth/known.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/system.h"
#include "dashboard/auth/secret.h"

struct known_password {
    pthread_mutex_t lock;
    char key[TOKEN_SIZE];
    char learnt[TOKEN_HASH_SIZE]; /* "": nothing remembered yet */
};

struct known_password *known_password_new(void)
{
    struct known_password *known = calloc(1, sizeof *known);

    if (!known)
        return NULL;
    pthread_mutex_init(&known->lock, NULL);
    if (token_make(known->key) == 0)
        return known;
    known_password_free(known);
    return NULL;
}

void known_password_free(struct known_password *known)
{
    if (!known)
        return;
    pthread_mutex_destroy(&known->lock);
    wipe(known, sizeof *known);
    free(known);
}

/* Hashes both, so that the result is valid for no other hash. */
static bool digest(const struct known_password *known, const char *password_hash,
                   const char *password, char out[TOKEN_HASH_SIZE])
{
    char key[TOKEN_HASH_SIZE];

    return token_hash(known->key, password_hash, key) == 0 && token_hash(key, password, out) == 0;
}

void known_password_learn(struct known_password *known, const char *password_hash,
                          const char *password)
{
    char out[TOKEN_HASH_SIZE];

    if (!known || !digest(known, password_hash, password, out))
        return;
    pthread_mutex_lock(&known->lock);
    memcpy(known->learnt, out, sizeof known->learnt);
    pthread_mutex_unlock(&known->lock);
}

bool known_password_is(struct known_password *known, const char *password_hash,
                       const char *password)
{
    char out[TOKEN_HASH_SIZE];
    bool is;

    if (!known || !digest(known, password_hash, password, out))
        return false;
    pthread_mutex_lock(&known->lock);
    is = known->learnt[0] && secret_equal(out, known->learnt);
    pthread_mutex_unlock(&known->lock);
    return is;
}
