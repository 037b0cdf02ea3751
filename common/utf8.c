#include "utf8.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Skips ASCII at p, eight bytes at a time, because most text is ASCII. */
static const char *skip_ascii(const char *p, const char *end)
{
    uint64_t eight;

    while ((size_t)(end - p) >= sizeof eight) {
        memcpy(&eight, p, sizeof eight);
        if (eight & UINT64_C(0x8080808080808080))
            break;
        p += sizeof eight;
    }
    return p;
}

bool utf8_valid(const char *bytes, size_t size)
{
    const char *p = bytes, *end = bytes + size;

    while ((p = skip_ascii(p, end)) < end) {
        size_t length = utf8_length(p, (size_t)(end - p));

        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

size_t utf8_cut(const char *bytes, size_t size, size_t max)
{
    if (size <= max)
        return size;
    while (max > 0 && ((unsigned char)bytes[max] & 0xc0) == 0x80)
        max--;
    return max;
}

char *utf8_replace(const char *bytes, size_t size, size_t *out_size)
{
    char *copy = malloc(size * (sizeof REPLACEMENT - 1) + 1), *to = copy;

    if (!copy)
        return NULL;
    for (size_t i = 0; i < size;) {
        size_t length = utf8_length(bytes + i, size - i);

        if (length == 0) {
            memcpy(to, REPLACEMENT, sizeof REPLACEMENT - 1);
            to += sizeof REPLACEMENT - 1;
            i++;
        } else {
            memcpy(to, bytes + i, length);
            to += length;
            i += length;
        }
    }
    *to = '\0';
    *out_size = (size_t)(to - copy);
    return copy;
}

size_t utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}
