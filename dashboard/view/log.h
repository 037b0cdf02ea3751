/* Lines of a log as JSON. */
#ifndef NIXFLEET_DASHBOARD_VIEW_LOG_H
#define NIXFLEET_DASHBOARD_VIEW_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

/* Appends `"from":…,"lines":[…],"times":[…]` of at most limit lines and about bytes_max bytes from
   `from` on; the window ends in front of a gap, and begins behind one. *next: the line after the
   last one. False when the store failed. */
bool log_window_json(struct store *store, int64_t key, int64_t from, int64_t limit,
                     size_t bytes_max, struct text *out, int64_t *next);
/* Appends `[[line, omitted], …]`. False when the store failed. */
bool log_gaps_json(struct store *store, int64_t key, struct text *out);

#endif
