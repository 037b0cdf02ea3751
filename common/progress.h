/* How far a run has come, in counts: the one definition for the parser, the shared page, the bodies
   and the dashboard. docs/protocol.md describes each count. */
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

/* Bytes of `current` that are shown; behind them up to 1 KiB is kept, so that a secret at the edge
   is there as a whole, to be known and redacted. */
#define PROGRESS_CURRENT_SHOWN 127
#define PROGRESS_CURRENT_SIZE (PROGRESS_CURRENT_SHOWN + 1 + 1024)

#define PROGRESS_COUNT_MEMBER(name) int64_t name;
#define PROGRESS_COUNT_UNKNOWN(name) .name = -1,

struct progress {
    PROGRESS_COUNTS(PROGRESS_COUNT_MEMBER) /* -1: not known */
    char current[PROGRESS_CURRENT_SIZE];   /* what is done now, UTF-8; "": not known */
};

#define PROGRESS_UNKNOWN ((struct progress){PROGRESS_COUNTS(PROGRESS_COUNT_UNKNOWN)})

#endif
