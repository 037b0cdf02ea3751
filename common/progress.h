/* The progress of a run, in counts. This is the only definition, for the parser, the status page,
   request bodies and the dashboard. docs/protocol.md describes each count. */
#ifndef NIXFLEET_COMMON_PROGRESS_H
#define NIXFLEET_COMMON_PROGRESS_H

#include <stdint.h>

/* F(name) for each count. */
#define PROGRESS_COUNTS(F) \
    F(built)               \
    F(building)            \
    F(to_build)            \
    F(failed)              \
    F(fetched)             \
    F(to_fetch)            \
    F(fetched_bytes)       \
    F(to_fetch_bytes)      \
    F(tests_passed)        \
    F(tests_total)

/* Bytes of `current` that are shown. Up to 1 KiB behind them is kept, so that a secret that crosses
   this limit is recognized and redacted. */
#define PROGRESS_CURRENT_SHOWN 127
#define PROGRESS_CURRENT_SIZE (PROGRESS_CURRENT_SHOWN + 1 + 1024)

#define PROGRESS_COUNT_MEMBER(name) int64_t name;
#define PROGRESS_COUNT_UNKNOWN(name) .name = -1,

struct progress {
    PROGRESS_COUNTS(PROGRESS_COUNT_MEMBER) /* -1: not known */
    char current[PROGRESS_CURRENT_SIZE];   /* what the run does now, UTF-8; "": not known */
};

#define PROGRESS_UNKNOWN ((struct progress){PROGRESS_COUNTS(PROGRESS_COUNT_UNKNOWN)})

#endif
