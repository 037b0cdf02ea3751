/* The derivations that nix has named: their store paths, and which derivation a line may be
 * about. */
#include "phase_internal.h"

#include <stdlib.h>

#define STORE_HASH 32

/* ---- the set ---- */

uint64_t text_hash(const char *bytes, size_t length)
{
    uint64_t key = UINT64_C(14695981039346656037);
    for (size_t at = 0; at < length; at++)
        key = (key ^ (unsigned char)bytes[at]) * UINT64_C(1099511628211);
    return (key | 4) & ~UINT64_C(3); /* never 0; the flags are clear */
}

static uint64_t *drv_slot(const struct drv_set *set, uint64_t key)
{
    size_t at = (key >> 2) & (set->capacity - 1);
    while (set->key[at] != 0 && (set->key[at] & ~UINT64_C(3)) != key)
        at = (at + 1) & (set->capacity - 1);
    return &set->key[at];
}

static bool drv_grow(struct drv_set *set)
{
    struct drv_set larger = {NULL, set->capacity == 0 ? 256 : set->capacity * 2, set->count};
    larger.key = calloc(larger.capacity, sizeof *larger.key);
    if (!larger.key)
        return false;
    for (size_t at = 0; at < set->capacity; at++)
        if (set->key[at] != 0)
            *drv_slot(&larger, set->key[at] & ~UINT64_C(3)) = set->key[at];
    free(set->key);
    *set = larger;
    return true;
}

unsigned drv_mark(struct stream *stream, uint64_t key, unsigned flags)
{
    struct drv_set *set = &stream->believe.drvs;
    size_t *known = &stream->run->drvs_known; /* counted over all streams, to limit memory */
    if (set->count * 2 >= set->capacity && (*known >= DRV_SET_MAX || !drv_grow(set)))
        return 0;
    uint64_t *slot = drv_slot(set, key);
    if (*slot == 0) {
        *slot = key;
        set->count++;
        ++*known;
    }
    unsigned before = *slot & 3;
    *slot |= flags;
    return before;
}

unsigned drv_flags(const struct stream *stream, uint64_t key)
{
    const struct drv_set *set = &stream->believe.drvs;
    return set->capacity == 0 ? 0 : *drv_slot(set, key) & 3;
}

void drv_set_free(struct drv_set *set)
{
    free(set->key);
}

/* ---- store paths and quotes ---- */

uint64_t hash_key(const struct store_path *path)
{
    return text_hash(path->hash, STORE_HASH);
}

uint64_t name_key(const struct store_path *path)
{
    return text_hash(path->name, path->name_length);
}

static bool name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || is_digit(byte) ||
           byte == '+' || byte == '-' || byte == '.' || byte == '_' || byte == '?' || byte == '=';
}

bool take_path(const char *text, const char *end, struct store_path *path)
{
    const char *at = text, *base = NULL;
    if (at == end || *at != '/')
        return false;
    for (; at < end && (name_byte(*at) || *at == '/' || *at == '~'); at++)
        if (*at == '/')
            base = at + 1;
    if (!base || at - base < STORE_HASH + 2 || base[STORE_HASH] != '-')
        return false;
    for (int k = 0; k < STORE_HASH; k++)
        if (!((base[k] >= '0' && base[k] <= '9') || (base[k] >= 'a' && base[k] <= 'z')))
            return false;
    path->hash = base;
    path->name = base + STORE_HASH + 1;
    path->name_length = (size_t)(at - path->name);
    path->drv = path->name_length > 4 && ends(path->name, path->name_length, ".drv");
    if (path->drv)
        path->name_length -= 4;
    path->after = at;
    return true;
}

/* ' or the curly quotes of old versions. */
static bool take_quote(const char **at, const char *end)
{
    if (*at < end && **at == '\'') {
        ++*at;
        return true;
    }
    if (end - *at >= 3 && memcmp(*at, "\xE2\x80", 2) == 0 &&
        ((*at)[2] == '\x98' || (*at)[2] == '\x99')) {
        *at += 3;
        return true;
    }
    return false;
}

bool take_quoted_path(const char *at, const char *end, struct store_path *path)
{
    return take_quote(&at, end) && take_path(at, end, path) && take_quote(&path->after, end);
}

/* ---- which lines are nix's own ---- */

bool known_drv(const struct stream *stream, const struct store_path *path)
{
    if (!stream->believe.raw_open || stream->believe.drvs.count == 0 ||
        stream->run->drvs_known >= DRV_SET_MAX)
        return true;
    return drv_flags(stream, hash_key(path)) != 0;
}

bool known_name(const struct stream *stream, const struct store_path *path)
{
    return known_drv(stream, path) || drv_flags(stream, name_key(path)) != 0;
}
