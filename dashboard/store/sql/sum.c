#include "dashboard/store/sql/sum.h"

#include <openssl/evp.h>
#include <string.h>

/* The first four bytes of SHA-256 over two pieces. OpenSSL is linked for other things, and fast. */
static uint32_t sum_of(const void *head, size_t head_size, const void *text, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(context, head, head_size) != 1 ||
        EVP_DigestUpdate(context, text, size) != 1 ||
        EVP_DigestFinal_ex(context, digest, NULL) != 1)
        memset(digest, 0, 4);
    EVP_MD_CTX_free(context);
    return (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
}

int64_t chunk_sum(int64_t key, const struct chunk *chunk)
{
    int64_t place[4] = {key, chunk->first, chunk->count, chunk->text != NULL};
    const char *text = chunk->text ? chunk->text : "", *times = chunk->times ? chunk->times : "";
    uint64_t high = sum_of(place, sizeof place, text, chunk->text ? chunk->size : 0),
             low = sum_of(place, sizeof place, times, strlen(times));

    return (int64_t)(high << 32 | low);
}

enum chunk_damage chunk_check(int64_t key, const struct chunk *chunk, int64_t sum)
{
    uint64_t differs = (uint64_t)chunk_sum(key, chunk) ^ (uint64_t)sum;

    return differs >> 32 ? CHUNK_TEXT : differs ? CHUNK_TIMES : CHUNK_GOOD;
}
