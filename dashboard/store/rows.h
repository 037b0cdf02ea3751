/* Rows of the store as plain structs. An engine reads and writes them; fleet/ and view/ take them.
   Texts are valid UTF-8, or NULL if there is none. The texts of a row that a read passes to a
   visitor are valid until the visitor returns. Times are milliseconds of the wall clock in UTC; 0:
   never. */
#ifndef NIXFLEET_DASHBOARD_STORE_ROWS_H
#define NIXFLEET_DASHBOARD_STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

#define RUN_NAME_SIZE 160 /* of a run's name, with a NUL: its durations are found by it */
#define RUN_PHASES_SIZE 320

/* ---- runs ---- */

/* The facts from which the state of a run is derived (fleet/state.h). */
struct run_facts {
    bool exists, ended, lost;
    bool heartbeats; /* its writer sends heartbeats, so silence has a meaning */
    int64_t started_ms, last_seen_ms, ended_ms, interval_ms;
    int64_t suspect_ms; /* since when its host reports but the run does not; 0: not suspect */
};

/* A run, for functions that write to the run or read its lines. */
struct run_row {
    int64_t key; /* the number of the run in the store; 0: there is no such run */
    char id[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t lines, stored; /* lines of the log, and bytes of the stored text */
    int64_t last_seen_ms, interval_ms, started_ms, created_ms;
    int64_t suspect_ms;
    int64_t estimate_due_ms; /* when its end is to be estimated again; 0: now */
    bool ended, lost, stop, deleted, heartbeats;
    char phase[16];
    bool fresh; /* created by the call that filled this row */
};

/* A run as a page shows it. argv, progress, exit, failed and failed_units are JSON. */
struct run_details {
    struct run_facts facts;
    const char *id, *host, *command, *argv, *name, *user, *phase, *last_phase, *progress, *outcome,
        *exit, *error, *failed, *failed_units;
    int64_t error_line; /* -1: not known */
    int64_t lines, bytes;
    int64_t silent_since_ms;
    int64_t eta_ms, eta_low_ms, eta_high_ms; /* when its end is expected; 0: not known */
    bool stop;                               /* a person asked the run to stop */
    int64_t stop_ms;                         /* when the person asked */
    const char *stop_by;                     /* the person's address */
};

/* What a report says about a run. A text that is NULL leaves the stored text. */
struct run_update {
    int64_t last_seen_ms, interval_ms;
    int64_t started_ms; /* 0: as stored */
    const char *command, *argv, *user, *name, *phase, *progress;
    bool finished; /* the report also has the end of the run */
    bool lost;
    bool heartbeat; /* the report is a heartbeat: the run is alive */
    /* The run wrote output now: its lines and stored bytes, as in txn_run_save_counts. NULL: no
     * output. */
    const struct run_row *output;
    int64_t bytes;           /* all output of the run; -1: the report does not say */
    int64_t silent_since_ms; /* since when the run writes nothing; 0: the report does not say */
};

/* What a report says about the end of a run. A text that is NULL leaves the stored text. */
struct run_end {
    int64_t ended_ms;
    const char *exit, *outcome, *error, *failed, *failed_units;
    int64_t error_line; /* -1: the report does not say */
    bool authoritative; /* the outcome replaces a stored outcome */
};

/* A derivation that a run builds, or a path that it fetches. */
struct derivation_row {
    int64_t n; /* its index in the run */
    const char *name, *state;
    const char *machine; /* where it is built; NULL: on the host itself */
    const char *step;    /* NULL: not known */
    int64_t started_ms, ended_ms;
    int64_t line, lines; /* the first line of its output (-1: none), and the number of lines */
    int64_t log_lines;   /* of its own log. Only set in rows that are read */
};

/* How long a run was in each phase so far, and when its end is expected. */
struct run_timing {
    char name[RUN_NAME_SIZE];     /* the run's name ("switch"), cut; "": it has none. Read only */
    int64_t started_ms;           /* read only */
    int64_t phase_at_ms;          /* since when the run is in its phase; 0: not noted yet */
    char phases[RUN_PHASES_SIZE]; /* the time in each phase before, as fleet/timing.h writes it */
    int64_t eta_ms, eta_low_ms, eta_high_ms; /* when its end is expected; 0: not known */
    int64_t due_ms;                          /* when the end is to be estimated again; 0: now */
};

#define DURATIONS_KEPT 10

/* How long one thing took in the last runs of one name on one host. */
struct duration_row {
    const char *kind, *what; /* such as "phase", "building", or "derivation", "linux" */
    size_t count;
    int64_t ms[DURATIONS_KEPT]; /* newest first */
};

/* Consecutive lines of a log, from one batch. */
struct chunk {
    int64_t first, count;
    const char *text; /* count lines joined by LF; NULL: a gap, lines that are lost */
    size_t size;
    const char *times; /* when the lines arrived: JSON [[count, ms], …], or NULL */
};

/* ---- hosts ---- */

/* The facts from which the state of a host is derived, besides its runs. */
struct host_facts {
    int64_t last_seen_ms;  /* when the last report of the host arrived; 0: never */
    int64_t agent_seen_ms; /* when the host's agent last called; 0: there is no agent */
    bool command_waits;    /* for the agent */
};

/* How the last run with one name ended on a host. */
struct verdict_row {
    const char *name, *run; /* run: an id; NULL: an agent reported the end of a command */
    const char *outcome;    /* success, failure, units_failed, crashed */
    const char *error;      /* the error that caused the failure, or NULL */
    int64_t started_ms, ended_ms;
    /* When a run with this name last succeeded and last failed. Only set in rows that are read. */
    int64_t success_ms, failure_ms;
};

/* A host as a page shows it. metrics is JSON. */
struct host_row {
    const char *id, *hostname, *host_type, *location, *device_type, *theme_color, *criticality,
        *icon, *current_generation, *status, *pending_command, *comment, *test_status, *config_repo,
        *test_result, *metrics, *agent_version, *nixpkgs_version, *os_version, *os_name;
    int64_t test_running, test_current, test_total, test_passed_count, poll_interval;
    int64_t last_seen_ms, last_switch_ms, last_audit_ms, last_fix_ms, command_queued_ms,
        metrics_updated_ms;
    int64_t agent_seen_ms;      /* when the host's agent last called; 0: there is no agent */
    struct run_details run;     /* the run that is shown for the host; facts.exists false: none */
    struct verdict_row verdict; /* the verdict that counts; outcome NULL: none */
};

/* What a registration or a person stores about a host. NULL leaves the stored text. */
struct host_fields {
    const char *host_type, *location, *device_type, *theme_color, *criticality, *current_generation,
        *config_repo, *agent_version, *nixpkgs_version, *os_version, *os_name, *icon, *comment,
        *test_status, *metrics;
    int64_t poll_interval;              /* seconds; only of a registration */
    int64_t last_audit_ms, last_fix_ms; /* 0 leaves the stored time */
};

/* What an agent reports about its host's tests. */
struct host_tests {
    bool running;
    int64_t current, total, passed;
    const char *result, *summary, *comment; /* stored when the tests are over */
};

struct history_row {
    int64_t at_ms;
    const char *icon, *message, *output;
};

struct command_row {
    int64_t id;
    const char *host, *command, *status, *output;
    int64_t created_ms, completed_ms;
};

/* ---- the rest ---- */

#define CALLS_KEY_SIZE 16

/* Calls of one client to one path within a window, which all servers of the store count together.
 */
struct calls_row {
    unsigned char key[CALLS_KEY_SIZE]; /* a hash of address and path */
    int64_t added;                     /* calls that are to be added */
    int64_t calls;  /* set: the calls of all servers, with those that were added */
    int64_t age_ms; /* set: since the window began */
};

/* A run whose lines retention removes. */
struct expired_run {
    int64_t key;
    bool lines_wait; /* once the run is hidden, the store removes the lines by itself */
};

/* What retention keeps. */
struct retention_limits {
    int64_t keep_ms;         /* runs, counted from the arrival of the last report */
    int64_t keep_runs;       /* runs of each host */
    int64_t keep_bytes;      /* log text of all hosts together */
    int64_t keep_history_ms; /* history and commands of hosts */
};

#endif
