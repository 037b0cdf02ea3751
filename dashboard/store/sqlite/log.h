/* The lines of a run in the store: chunks in order, without a hole, each of one accepted batch. A
   chunk whose text is NULL is a gap: lines that keep their numbers but are not there. Every change
   gives its chunk a new version, so that "what is new since version V" is everything from the
   lowest line of the chunks with a version above V. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_LOG_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/sqlite/engine.h"

/* log = log[0:from] + lines. text: count lines joined by LF; times: JSON `[[count, ms], …]` or NULL
   (now). skipped > 0: a gap is put between the end of the log and from. *total: lines before, then
   after. *stored: bytes of text, kept up to date. 1: changed; 0: it was so already; -1: the store
   failed. The caller has checked that from is not past the end (but for skipped). */
int lines_splice(struct txn *txn, int64_t run, int64_t from, const char *text, size_t size,
                 int64_t count, const char *times, int64_t *total, int64_t *stored);
/* Whether the lines from `from` on are these already, whatever follows them. */
bool lines_equal(struct txn *txn, int64_t run, int64_t from, const char *text, size_t size);
/* SHA-256 in hex of all lines joined by LF; false when there is a gap or the store failed. */
bool lines_digest(struct txn *txn, int64_t run, char out[65]);
/* Drops lines from the middle until the text is at most bytes large: the first quarter (or what is
 * in front of the first gap) and the newest stay. */
int lines_shorten(struct txn *txn, int64_t run, int64_t total, int64_t *stored, int64_t bytes);

/* The times of a chunk, as stored, as a list of pairs, which the caller puts; NULL: none. */
json_object *lines_times(const char *times);
/* Number of lines in a text of size bytes. */
int64_t lines_count(const char *text, size_t size);
/* The first lines of a text: bytes of count lines, without the last one's LF. */
size_t lines_prefix(const char *text, size_t size, int64_t count);

/* A window for a reader, as JSON parts: appends `"from":…,"lines":[…],"times":[…]` of at most limit
   lines and about bytes_max bytes from `from` on; it ends in front of a gap, and begins behind one.
   *next: the line after the last one. Returns false when the store failed. */
bool lines_window(struct store *store, int64_t run, int64_t from, int64_t limit, size_t bytes_max,
                  struct text *out, int64_t *next);
/* `[[line, omitted], …]`. */
bool lines_gaps(struct store *store, int64_t run, struct text *out);
/* The lowest line that changed after version; -1: none did. *newest: the highest version of the
 * run. */
int64_t lines_changed_since(struct store *store, int64_t run, int64_t version, int64_t *newest);
/* The same for lines that arrived after a wall time in ms. */
int64_t lines_arrived_since(struct store *store, int64_t run, int64_t at_ms, int64_t *newest);

/* Removes SGR sequences in place; returns the new size. */
size_t lines_strip(char *text, size_t size);

#endif
