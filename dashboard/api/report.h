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

/* A body, read and checked. Strings live as long as the report. A field that was absent is NULL, 0,
 * or what its comment says. */
struct report {
    json_object *object;
    char run[RUN_ID_SIZE]; /* "": not said */
    const char *text;      /* lines joined by LF, NULL: none */
    char *joined;          /* text made from `lines` */
    size_t size;           /* of text, in bytes */
    int64_t count;         /* lines in text */
    int64_t from;          /* -1: append */
    int64_t skipped;
    const char *times, *progress, *argv, *failed, *failed_units, *exit; /* JSON */
    const char *command, *name, *user, *phase, *status, *outcome, *error;
    char digest[65];           /* lower-case hex; "": not said */
    json_object *derivations;  /* a valid list, or NULL */
    const char *changes;       /* JSON */
    int64_t started, ended;    /* ms since 1970 by the server's clock (fleet/clock.h) */
    int64_t newest_ms;         /* when the newest of the lines came, likewise; 0: now */
    int64_t offset_ms, now_ms; /* of the writer's clock; the server's clock as the report came */
    int64_t error_line, byte_count, bytes, silent_for; /* -1: not said; silent_for in seconds */
    int64_t interval;                                  /* between heartbeats, ms; 0: not said */
    bool lost, finished, killed; /* killed: exit says that a signal ended the command */
};

/* Reads the body of a batch or of a heartbeat. NULL: the request was answered with the reason (400,
   or 503 when out of memory). The caller passes the report to report_free. */
struct report *read_batch(struct request *request);
struct report *read_heartbeat(struct request *request);
/* Whether it is a list of derivations as the protocol has them. */
bool builds_valid(json_object *list);
/* Stores what a batch says of derivations and changes. 0 or -1. */
int builds_apply(struct txn *txn, int64_t key, const struct report *report);
/* For request_submit. */
void report_free(void *report);

#endif
