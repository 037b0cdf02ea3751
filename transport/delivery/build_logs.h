/* The own logs of derivations, from nix's internal log (the file of its setting json-log-path). The
   terminal often shows only a bar, but this file has every line of every builder.

   The file is read a second time for this, and only as fast as the dashboard takes the text: at
   most BUILD_LOGS_QUEUE bytes wait. A batch has pieces of these logs only if it also has all lines
   of the run that can be sent, so the lines never wait for the logs of builders. Of a long log, the
   beginning and the end are sent. */
#ifndef NIXFLEET_BUILD_LOGS_H
#define NIXFLEET_BUILD_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../parse/nixlog.h"

#define BUILD_LOGS_QUEUE ((size_t)512 << 10) /* bytes that wait; then reading stops */
#define BUILD_LOG_HEAD ((size_t)4 << 20)     /* bytes of the beginning of a log */
#define BUILD_LOG_TAIL ((size_t)64 << 10)    /* bytes of its end */
#define BUILD_LOGS_HEADS ((size_t)64 << 20)  /* bytes of all beginnings in a run */
#define BUILD_LOGS_OPEN 256                  /* derivations that are built at the same time */
/* Bytes of builders' logs in a batch: the limit adapts to the speed of the connection. */
#define BUILD_LOGS_BATCH_MIN ((size_t)40 << 10) /* space for any line */
#define BUILD_LOGS_BATCH_FIRST ((size_t)64 << 10)
#define BUILD_LOGS_BATCH_MAX ((size_t)512 << 10)
#define BUILD_LOG_PATH_SIZE 256

/* Lines `from` to `from` + lines - 1 of a log, each followed by an LF. */
struct log_piece {
    uint64_t from, lines;
    char *bytes;
    size_t size, room;
    /* of these, in the batch in flight */
    uint64_t sent_lines;
    size_t sent_size;
};

/* The log of a derivation that is being built, or whose text is not sent yet. */
struct build_log {
    char path[BUILD_LOG_PATH_SIZE]; /* of the derivation; "": this place is free */
    size_t n;                       /* its index in the run */
    uint64_t lines;                 /* that the builder has written */
    size_t taken;                   /* bytes of the beginning */
    struct log_piece head, tail;    /* tail: the newest lines behind the beginning */
    bool full;                      /* the beginning is complete: further lines go to the tail */
    bool ended;                     /* the builder has ended, so the tail can be sent */
};

struct build_logs {
    struct nixlog *nixlog;  /* NULL: nothing was read yet */
    struct build_log *open; /* BUILD_LOGS_OPEN places; NULL: nothing was read yet */
    size_t last;            /* the place of the last line */
    uint64_t offset;        /* of the next byte of nix's internal log */
    size_t waiting;         /* bytes that wait in the beginnings, and in tails that can be sent */
    size_t heads;           /* bytes of beginnings of this run so far */
    size_t batch_max;       /* bytes in the next batch */
    size_t batch_most;      /* batch_max does not grow above this, because of an answer 413 */
    bool refused;           /* even the smallest batch was too large: no log is sent */
    int64_t built_ms;       /* monotonic time when the batch in flight was built */
    bool over;              /* nothing more will be read */
    bool sent;              /* the batch in flight has pieces */
};

#endif
