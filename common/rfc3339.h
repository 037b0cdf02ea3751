/* Times as RFC 3339 writes them. */
#ifndef NIXFLEET_COMMON_RFC3339_H
#define NIXFLEET_COMMON_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#define RFC3339_SIZE 32

/* Writes milliseconds since 1970 as UTC, "2026-11-23T18:14:10.079Z", with a NUL. ms is not
   negative. */
void rfc3339_format(int64_t ms, char out[RFC3339_SIZE]);

/* Reads "2026-11-23T18:14:10", a fraction of any length (digits behind the milliseconds are
   dropped), and "Z" or an offset such as "+02:00" or "-0530"; without either the time is UTC, as
   v1 writes it. A space counts as "+" in front of an offset, because a query that is not escaped
   arrives so. Returns false if text is anything else, also on a day that does not exist. */
bool rfc3339_parse(const char *text, int64_t *ms);

#endif
