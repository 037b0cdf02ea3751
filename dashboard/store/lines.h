/* The text and the times of a chunk. The text is lines joined by LF; the times are JSON
   `[[count, ms], …]`: so many lines arrived at this time. Pure functions. */
#ifndef NIXFLEET_DASHBOARD_STORE_LINES_H
#define NIXFLEET_DASHBOARD_STORE_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

/* Number of lines in a text of size bytes: one more than it has LFs. */
int64_t lines_count(const char *text, size_t size);
/* The size in bytes of the first count lines of a text, without the LF of the last line. If the
 * text has fewer lines: size. */
size_t lines_prefix(const char *text, size_t size, int64_t count);
/* Removes SGR sequences (colours) and hyperlinks in place; returns the new size. */
size_t lines_strip(char *text, size_t size);
/* Appends the times of lines [skip, skip+take) to out as `[count,ms]` with commas between; a comma
 * is also put before the first if out is not empty. times: of a chunk, or NULL. */
void times_slice(struct text *out, const char *times, int64_t skip, int64_t take);
/* Appends the times to out as they are stored, each ms later (or earlier, if ms is negative). */
void times_move(struct text *out, const char *times, int64_t ms);

#endif
