/* Runs and hosts as rows: what the calls write to them, and how they are shown as JSON (RUN and
 * HOST of docs/protocol.md). */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_RUNS_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/id.h"
#include "common/json.h"
#include "dashboard/fleet/state.h"
#include "dashboard/store/sqlite/engine.h"

/* What the writer needs of a run. */
struct run_row {
    int64_t k; /* its number in chunks; 0: there is no such run */
    char id[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t lines, stored, last_seen, interval, started, created;
    bool ended, lost, stop, deleted;
    char phase[16];
    bool fresh; /* made just now */
};

/* Finds a run by its id. 0 (row->k 0 if there is none), or -1: the store failed. */
int run_find(struct txn *txn, const char *id, struct run_row *row);
/* The host's newest run that has not ended; row->k 0 if there is none. */
int run_find_open(struct txn *txn, const char *host, struct run_row *row);
/* Makes a run (and its host, if that is new). id "": a new id. */
int run_create(struct txn *txn, const char *host, const char *id, struct run_row *row);
/* The host has shown a sign of life; makes it if it is new. */
int host_seen(struct txn *txn, const char *host);
/* Sets hosts.run, the run that the host is told of by, and hosts.changes_at from what is stored
 * now: after every change of a run or host. */
int host_settle(struct txn *txn, const char *host);
/* host_seen and host_settle for the common case, a run that was busy and goes on (facts: as it is
 * now): if the host is told of by it, that stays so. 1: done; 0: it is not, nothing was done;
 * -1. */
int host_goes_on(struct txn *txn, const char *host, const char *run, const struct run_facts *facts);

/* Appends a RUN, or null. id may be of another host: then null. */
bool run_json(struct store *store, const char *host, const char *id, int64_t now_ms,
              struct text *out);
/* Appends `,"phase":…,"progress":…,"exit":…` of a run. */
void add_run_progress(struct store *store, const char *id, struct text *out);
/* Appends the RUNs of a host, newest first, as a list; before: only those before this run, or
   NULL. */
bool runs_json(struct store *store, const char *host, const char *before, int64_t limit,
               int64_t now_ms, struct text *out);
/* Appends all HOSTs with commas between. history: with v1's status_history, which is long. False
 * when the store failed. */
bool hosts_json(struct store *store, bool history, int64_t now_ms, struct text *out);
/* Appends one HOST. False when the store failed or there is no such host. */
bool host_json(struct store *store, const char *id, bool history, int64_t now_ms, struct text *out);
/* The number of a run and its counts, for a reader. False: there is no such run. */
struct run_view {
    int64_t k, lines, first;
    bool ended, lost, deleted;
    char host[HOST_ID_SIZE];
};
bool run_view(struct store *store, const char *id, struct run_view *view);
/* The run that the host is told of by: its open run, else its newest. False: it has none. */
bool run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE]);

#endif
