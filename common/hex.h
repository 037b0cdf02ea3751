/* Bytes as lower-case hex digits. */
#ifndef NIXFLEET_COMMON_HEX_H
#define NIXFLEET_COMMON_HEX_H

#include <stddef.h>

/* Writes two digits for each of size bytes, and a NUL. out must have space for 2 * size + 1
 * bytes. */
void hex_encode(const unsigned char *bytes, size_t size, char *out);

#endif
