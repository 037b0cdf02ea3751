/* A report about a run, a batch of lines or a heartbeat, read from a body and checked field by
   field. docs/protocol.md describes the fields. */
#ifndef NIXFLEET_DASHBOARD_API_REPORT_H
#define NIXFLEET_DASHBOARD_API_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/id.h"
#include "common/json.h"
#include "dashboard/server/http.h"
#include "dashboard/store/store.h"

/* A body that was read and checked. Strings are valid as long as the report. An absent field is
 * NULL, 0, or what its comment says. */
struct report {
    json_object *object;
    char run[RUN_ID_SIZE]; /* "": absent */
    const char *text;      /* lines joined by LF; NULL: none */
    char *joined;          /* holds text if it was made from `lines` */
    size_t size;           /* of text */
    int64_t count;         /* of lines in text */
    int64_t from;          /* -1: append */
    int64_t skipped;
    const char *times, *progress, *argv, *failed, *failed_units, *exit; /* JSON */
    const char *command, *name, *user, *phase, *last_phase, *status, *outcome, *error;
    char digest[65];          /* lower-case hex; "": absent */
    json_object *derivations; /* a valid list; NULL: none */
    json_object *build_logs;  /* the same */
    const char *changes;      /* JSON; NULL: none */
    int64_t started, ended;   /* ms since 1970, on the server's clock (fleet/clock.h) */
    int64_t newest_ms;        /* arrival of the newest line, on the server's clock; 0: now */
    /* offset of the writer's clock; the server's clock when the report came */
    int64_t offset_ms, now_ms;
    int64_t error_line, byte_count, bytes, silent_for; /* -1: absent; silent_for in seconds */
    int64_t interval;                                  /* between heartbeats, in ms; 0: absent */
    int64_t built, to_build;                           /* of the progress; -1: absent */
    bool lost, finished, killed;                       /* killed: a signal ended the command */
};

/* Reads the body of a batch or a heartbeat. NULL: the request was answered with the reason (400, or
   503 when out of memory). The caller frees the report with report_free. */
struct report *read_batch(struct request *request);
struct report *read_heartbeat(struct request *request);
#define DERIVATIONS_MAX 10000 /* of a run */
/* Whether a text may be lines of a log: of control characters it has only LF, and of escape
 * sequences only colours (SGR) and hyperlinks. */
bool log_text_valid(const char *text, size_t size);
/* Whether list is a valid list of derivations, or of pieces of their logs. */
bool builds_valid(json_object *list);
bool build_logs_valid(json_object *list);
/* Stores the pieces of derivations' logs of a batch; of each run at most `most` bytes. Returns 0,
 * or -1 if the store failed. */
int build_logs_apply(struct txn *txn, int64_t key, const struct report *report, int64_t most);
/* Stores the derivations and changes of a batch. Returns 0, or -1 if the store failed. */
int builds_apply(struct txn *txn, int64_t key, const struct report *report);
/* Frees a report; for request_submit. */
void report_free(void *report);

#endif
