/* Rows of the store as plain structs: what an engine reads and writes, and what fleet/ and view/
   take. Texts are valid UTF-8, or NULL where there is none; in a row that is handed out they live
   as long as the call that hands it out. Times are milliseconds of the wall clock in UTC; 0:
   never. */
#ifndef NIXFLEET_DASHBOARD_STORE_ROWS_H
#define NIXFLEET_DASHBOARD_STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

/* ---- runs ---- */

/* What the state of a run is derived from (fleet/state.h). */
struct run_facts {
    bool exists, ended, lost;
    bool heartbeats; /* its writer sends heartbeats: silence means something */
    int64_t started_ms, last_seen_ms, ended_ms, interval_ms;
    int64_t suspect_ms; /* since when its host is heard without it; 0: no */
};

/* A run as those need it who write it or read its lines. */
struct run_row {
    int64_t key; /* its number in the store; 0: there is no such run */
    char id[RUN_ID_SIZE], host[HOST_ID_SIZE];
    int64_t lines, stored; /* lines of the log, and the bytes of text that are kept of it */
    int64_t last_seen_ms, interval_ms, started_ms, created_ms;
    int64_t suspect_ms;
    bool ended, lost, stop, deleted, heartbeats;
    char phase[16];
    bool fresh; /* made just now */
};

/* A run as it is shown. argv, progress, exit, failed and failed_units are JSON. */
struct run_details {
    struct run_facts facts;
    const char *id, *host, *command, *argv, *name, *user, *phase, *last_phase, *progress, *outcome,
        *exit, *error, *failed, *failed_units;
    int64_t error_line; /* -1: not known */
    int64_t lines, bytes;
    int64_t silent_since_ms;
    bool stop;           /* somebody asked it to stop, */
    int64_t stop_ms;     /* when, */
    const char *stop_by; /* and who: an address */
};

/* What a report says of a run that goes on. NULL texts leave what is stored. */
struct run_update {
    int64_t last_seen_ms, interval_ms, started_ms;
    const char *command, *argv, *user, *name, *phase, *progress;
    bool finished; /* the report also says how the run ended */
    bool lost;
    bool heartbeat; /* the report is a heartbeat: the run lives */
};

/* What a report says of a run's end. NULL texts leave what is stored. */
struct run_end {
    int64_t ended_ms;
    const char *exit, *outcome, *error, *failed, *failed_units;
    int64_t error_line; /* -1: not said */
    bool authoritative; /* its outcome replaces the stored outcome */
};

/* A derivation that a run builds, or a path that it fetches. */
struct derivation_row {
    int64_t n; /* its index in the run */
    const char *name, *state;
    const char *machine, *step; /* NULL: the host itself; not known */
    int64_t started_ms, ended_ms;
    int64_t line, lines; /* the first line that is its own (-1: none), and how many are */
};

/* Lines of a log that came together. */
struct chunk {
    int64_t first, count;
    const char *text; /* count lines joined by LF; NULL: a gap, whose lines are numbered but lost */
    size_t size;
    const char *times; /* JSON [[count, ms], …], or NULL */
};

/* ---- hosts ---- */

/* What the state of a host is derived from, besides its runs. */
struct host_facts {
    int64_t last_seen_ms;  /* when anything was heard from it; 0: never */
    int64_t agent_seen_ms; /* when its agent last called; 0: it has no agent */
};

/* How the last run of one name ended on a host. */
struct verdict_row {
    const char *name, *run; /* run: its id; NULL: an agent reported a command that was no run */
    const char *outcome;    /* success, failure, units_failed, crashed */
    const char *error;      /* the error that mattered, or NULL */
    int64_t started_ms, ended_ms;
    /* When a run of the name last succeeded, and when one last did not: of rows that are read. */
    int64_t success_ms, failure_ms;
};

/* A host as it is shown. metrics is JSON. */
struct host_row {
    const char *id, *hostname, *host_type, *location, *device_type, *theme_color, *criticality,
        *icon, *current_generation, *status, *pending_command, *comment, *test_status, *config_repo,
        *test_result, *metrics, *agent_version, *nixpkgs_version, *os_version, *os_name;
    int64_t test_running, test_current, test_total, test_passed_count, poll_interval;
    int64_t last_seen_ms, last_switch_ms, last_audit_ms, last_fix_ms, command_queued_ms,
        metrics_updated_ms;
    int64_t agent_seen_ms;      /* when its agent last called; 0: it has no agent */
    struct run_details run;     /* the run that is shown for it; facts.exists false: none */
    struct verdict_row verdict; /* the verdict that counts; outcome NULL: none */
};

/* What is stored of a host by registration or by hand. NULL leaves what is stored. */
struct host_fields {
    const char *host_type, *location, *device_type, *theme_color, *criticality, *current_generation,
        *config_repo, *agent_version, *nixpkgs_version, *os_version, *os_name, *icon, *comment,
        *test_status, *metrics;
    int64_t poll_interval;              /* of a registration */
    int64_t last_audit_ms, last_fix_ms; /* 0 leaves what is stored */
};

/* What a host says of its tests. */
struct host_tests {
    bool running;
    int64_t current, total, passed;
    const char *result, *summary, *comment; /* stored when they are over */
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

/* What to keep of old things. */
struct retention_limits {
    int64_t keep_ms;         /* runs, since they were last heard of by the server's clock */
    int64_t keep_runs;       /* of each host */
    int64_t keep_bytes;      /* of log text in all */
    int64_t keep_history_ms; /* a host's history and commands */
};

#endif
