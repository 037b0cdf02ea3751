/* Hosts and their history as JSON: HOST in docs/protocol.md. */
#ifndef NIXFLEET_DASHBOARD_VIEW_HOST_H
#define NIXFLEET_DASHBOARD_VIEW_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

/* Appends all HOSTs with commas between. history: also v1's status_history, which is long. False if
 * the store failed. */
bool hosts_json(struct store *store, bool history, int64_t now_ms, struct text *out);
/* Appends one HOST. 1; 0 if there is no such host; -1 if the store failed: then out may have a part
 * of it. */
int host_json(struct store *store, const char *id, bool history, int64_t now_ms, struct text *out);
/* Appends a line of a host's history with its output, and a comma in front if another line precedes
 * it. out: a struct text; for store_history. */
void history_line_json(void *out, const struct history_row *row);

#endif
