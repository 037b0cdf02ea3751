/* Lines of a log as JSON. */
#ifndef NIXFLEET_DASHBOARD_VIEW_LOG_H
#define NIXFLEET_DASHBOARD_VIEW_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

/* Appends `"from":…,"lines":[…],"times":[…]` with at most limit lines and about bytes_max bytes,
   from line `from` on. The window begins behind a gap, and ends before one. *next: the line after
   the last one. False if the store failed. */
bool log_window_json(struct store *store, int64_t key, int64_t from, int64_t limit,
                     size_t bytes_max, struct text *out, int64_t *next);
/* Appends `"from":…,"lines":[…]` of the log of the derivation with index n, in the same way. */
bool build_log_window_json(struct store *store, int64_t key, int64_t n, int64_t from, int64_t limit,
                           size_t bytes_max, struct text *out);
/* Appends `[[line, omitted], …]`. False if the store failed. */
bool log_gaps_json(struct store *store, int64_t key, struct text *out);

#endif
