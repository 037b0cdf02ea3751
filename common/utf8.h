/* UTF-8 as RFC 3629 defines it: no overlong form, no surrogate, nothing beyond U+10FFFF. */
#ifndef NIXFLEET_UTF8_H
#define NIXFLEET_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length in bytes (1 to 4) of the character at text, of which size bytes are available; 0 if
   they are not a whole character. size must be at least 1. */
static inline size_t utf8_length(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || size < 2 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (p[0] < 0xe0)
        return 2;
    if (size < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (p[0] < 0xf0) /* no overlong form, no surrogate */
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    if (p[0] > 0xf4 || size < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}
/* Whether size bytes consist of whole characters only. NUL is a character. */
bool utf8_valid(const char *bytes, size_t size);
/* The largest size of at most max bytes that does not cut a character of a valid text. */
size_t utf8_cut(const char *bytes, size_t size, size_t max);
/* A copy in which U+FFFD replaces each byte that is not part of a character, followed by a NUL.
   *out_size is its size without the NUL; out_size may point to the variable that was passed as
   size. The caller frees the copy. NULL when out of memory. */
char *utf8_replace(const char *bytes, size_t size, size_t *out_size);
/* Writes the character with this code point (up to U+10FFFF, no surrogate) to out. Returns its
 * length in bytes. */
size_t utf8_encode(uint32_t code, char out[4]);

#endif
