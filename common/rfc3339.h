/* Times in the form of RFC 3339. */
#ifndef NIXFLEET_COMMON_RFC3339_H
#define NIXFLEET_COMMON_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#define RFC3339_SIZE 32

/* Writes milliseconds since 1970 as UTC, "2026-11-23T18:14:10.079Z", with a NUL. ms must not be
   negative. */
void rfc3339_format(int64_t ms, char out[RFC3339_SIZE]);

/* Reads "2026-11-23T18:14:10" with an optional fraction of any length (digits behind the
   milliseconds are dropped), and "Z" or an offset such as "+02:00" or "-0530". A time without
   either is UTC, as v1 writes it. In front of an offset a space means "+", because a query that is
   not escaped arrives so. Returns false for any other text, and for a day that does not exist. */
bool rfc3339_parse(const char *text, int64_t *ms);

#endif
