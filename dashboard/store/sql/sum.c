#include "dashboard/store/sql/sum.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

/* sum: the first four bytes of SHA-256 over two pieces. OpenSSL is fast, and linked anyway. False
 * when out of memory. */
static bool sum_of(EVP_MD_CTX *context, const void *head, size_t head_size, const void *text,
                   size_t size, uint32_t *sum)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_DigestUpdate(context, head, head_size) != 1 ||
        EVP_DigestUpdate(context, text, size) != 1 ||
        EVP_DigestFinal_ex(context, digest, NULL) != 1)
        return false;
    *sum = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
    return true;
}

int chunk_sum(int64_t key, const struct chunk *chunk, int64_t *sum)
{
    int64_t place[4] = {key, chunk->first, chunk->count, chunk->text != NULL};
    const char *text = chunk->text ? chunk->text : "", *times = chunk->times ? chunk->times : "";
    EVP_MD_CTX *context;
    uint32_t high = 0, low = 0;
    bool made;

    ERR_clear_error(); /* creates the thread's error state: see connections_accept */
    context = EVP_MD_CTX_new();
    /* the second digest reuses the algorithm: to look it up costs as much as to use it */
    made = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
           sum_of(context, place, sizeof place, text, chunk->text ? chunk->size : 0, &high) &&
           EVP_DigestInit_ex(context, NULL, NULL) == 1 &&
           sum_of(context, place, sizeof place, times, strlen(times), &low);
    EVP_MD_CTX_free(context);
    if (!made)
        return -1;
    *sum = (int64_t)((uint64_t)high << 32 | low);
    return 0;
}

enum chunk_damage chunk_check(int64_t key, const struct chunk *chunk, int64_t sum)
{
    int64_t right;
    uint64_t differs;

    if (chunk_sum(key, chunk, &right) < 0)
        return CHUNK_UNREAD;
    differs = (uint64_t)right ^ (uint64_t)sum;
    return differs >> 32 ? CHUNK_TEXT : differs ? CHUNK_TIMES : CHUNK_GOOD;
}
