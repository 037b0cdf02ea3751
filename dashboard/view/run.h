/* Runs as JSON: RUN of docs/protocol.md. */
#ifndef NIXFLEET_DASHBOARD_VIEW_RUN_H
#define NIXFLEET_DASHBOARD_VIEW_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

/* Appends a RUN. */
void run_object(const struct run_details *run, int64_t now_ms, struct text *out);
/* Appends the RUN with this id; false when there is none, or host is not NULL and another. */
bool run_json(struct store *store, const char *host, const char *id, int64_t now_ms,
              struct text *out);
/* Appends `,"phase":…,"progress":…,"exit":…` of a run. */
void run_progress_json(struct store *store, const char *id, struct text *out);
/* Appends the RUNs of a host, newest first, as a list; before: only those before this run, or
 * NULL. False when the store failed. */
bool runs_json(struct store *store, const char *host, const char *before, int64_t limit,
               int64_t now_ms, struct text *out);

/* Appends the runs of all hosts that started at since_ms or later, newest first, with those
 * members of RUN that a timeline needs. False when the store failed. */
bool runs_brief_json(struct store *store, const char *before, int64_t since_ms, int64_t limit,
                     int64_t now_ms, struct text *out);

#endif
