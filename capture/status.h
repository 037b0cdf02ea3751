/* The status page: one page of shared memory between the pump, which holds the command, and its
   two helpers. It carries counters, the phase, and (only when the log cannot be written) a ring
   with the newest output. Nobody ever waits for anybody here: every field has one writer,
   readers poll. */
#ifndef NIXFLEET_STATUS_H
#define NIXFLEET_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A power of two; what the live view keeps without a log. */
#define STATUS_RING_SIZE ((size_t)1 << 20)
#define STATUS_PHASE_SIZE 16
#define STATUS_CURRENT_SIZE 128

/* How far the run has come, as parse/phase knows it; -1 (or "") is "not known". */
struct status_progress {
    char phase[STATUS_PHASE_SIZE];
    int64_t built, building, to_build, failed, fetched, to_fetch;
    int64_t fetched_bytes, to_fetch_bytes, tests_passed, tests_total;
    char current[STATUS_CURRENT_SIZE]; /* UTF-8 */
};

enum status_end { STATUS_RUNNING, STATUS_EXITED, STATUS_KILLED }; /* by exit status, by signal */

struct status_page {
    /* Written by the pump. */
    _Atomic uint64_t bytes; /* written by the command so far */
    _Atomic uint64_t
        log_bytes; /* of these, how many are in the log: the first ones, without a gap */
    _Atomic uint64_t
        ring_start; /* offset of the first byte that went to the ring; UINT64_MAX: none */
    _Atomic int64_t output_ms;   /* monotonic time of the last output (at first: of the start) */
    _Atomic uint32_t rows, cols; /* the window now */
    _Atomic uint32_t end;        /* enum status_end; set after bytes has its last value */
    _Atomic uint32_t end_code;   /* exit status or signal number */
    _Atomic int64_t ended_ms;    /* wall time of the end */
    _Atomic uint32_t
        poke_wanted; /* set to 1 by the shipper before it sleeps; cleared by the pump's poke */
    /* Written by the shipper. */
    _Atomic uint64_t lines;        /* lines that the output has so far */
    _Atomic uint64_t acked;        /* lines that the dashboard has */
    _Atomic uint32_t delivered;    /* 1: everything is acknowledged, the end included */
    _Atomic uint32_t progress_seq; /* odd while progress is being written */
    struct status_progress progress;
    /* Written by the heartbeat. */
    _Atomic uint32_t beats; /* sent so far, also by one that has died */
    /* Written by the pump; byte at offset o stands at ring[o % STATUS_RING_SIZE]. Touched only when
     * needed. */
    unsigned char ring[STATUS_RING_SIZE];
};

/* Makes a page in new shared memory (memfd where there is one, an unlinked POSIX object elsewhere).
   Returns it mapped and its descriptor (close-on-exec) in *fd, or NULL with errno. */
struct status_page *status_create(int *fd);
/* Maps a page that was handed down as fd. NULL with errno; EINVAL for one of another size. */
struct status_page *status_map(int fd);
void status_unmap(struct status_page *page);

/* Pump only: appends to the ring what the log could not take. Never fails. offset: of bytes[0]. */
void status_ring_write(struct status_page *page, uint64_t offset, const void *bytes, size_t size);
/* Shipper only: copies up to size bytes from offset on. Returns how many; *skipped is set to the
   number of bytes that were overwritten before they could be read (they come before the ones
   returned). */
size_t status_ring_read(struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped);

/* Shipper only: publishes progress. */
void status_set_progress(struct status_page *page, const struct status_progress *progress);
/* Anyone: a consistent copy, also when the shipper died in the middle of an update (then false:
 * last tries failed). */
bool status_get_progress(struct status_page *page, struct status_progress *out);

#endif
