/* The text and the times of a chunk: lines joined by LF, and JSON `[[count, ms], …]`. Pure
   functions. */
#ifndef NIXFLEET_DASHBOARD_STORE_LINES_H
#define NIXFLEET_DASHBOARD_STORE_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

/* Number of lines in a text of size bytes. */
int64_t lines_count(const char *text, size_t size);
/* The first lines of a text: bytes of count lines, without the last one's LF. */
size_t lines_prefix(const char *text, size_t size, int64_t count);
/* Removes SGR sequences in place; returns the new size. */
size_t lines_strip(char *text, size_t size);
/* Appends the times of lines [skip, skip+take) to a list that is open: `[count,ms]` with commas
 * between, and in front unless out is empty. times: of a chunk, or NULL. */
void times_slice(struct text *out, const char *times, int64_t skip, int64_t take);

#endif
