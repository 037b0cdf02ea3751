/* Runs as JSON: RUN in docs/protocol.md. */
#ifndef NIXFLEET_DASHBOARD_VIEW_RUN_H
#define NIXFLEET_DASHBOARD_VIEW_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "dashboard/store/store.h"

/* Appends a RUN. */
void run_object(const struct run_details *run, int64_t now_ms, struct text *out);
/* Appends the RUN with this id. 1; 0 if there is none, or it belongs to another host (host NULL:
 * any host is right); -1 if the store failed: then out may have a part of it. */
int run_json(struct store *store, const char *host, const char *id, int64_t now_ms,
             struct text *out);
/* Appends `,"phase":…,"progress":…,"exit":…` of a run. False when the store failed. */
bool run_progress_json(struct store *store, const char *id, struct text *out);
/* Appends a list of the RUNs of a host, newest first. before: only those before this run; NULL:
 * all. False if the store failed. */
bool runs_json(struct store *store, const char *host, const char *before, int64_t limit,
               int64_t now_ms, struct text *out);

/* Appends the runs of all hosts that started at since_ms or later, newest first, with the members
 * of RUN that a timeline needs. False if the store failed. */
bool runs_brief_json(struct store *store, const char *before, int64_t since_ms, int64_t limit,
                     int64_t now_ms, struct text *out);

#endif
