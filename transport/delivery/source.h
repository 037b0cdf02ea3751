/* The output of a run with its marks: which bytes, when they came, in which window. Reads a running
   run (from the log as far as the page says that it goes, then from the ring of the page), or one
   that is over. */
#ifndef NIXFLEET_SOURCE_H
#define NIXFLEET_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../capture/runrecord.h"
#include "../../capture/status.h"

struct source {
    /* the caller's; -1: none. With a page, the log is opened when it is needed */
    int log_fd, marks_fd;
    struct status_page *page; /* NULL: the run is over */
    uint64_t limit;           /* bytes of output to read; without a page, those in the log */
    uint64_t offset;          /* of the next byte of output */
    uint64_t next_mark;       /* index of the next mark in marks_fd */
    /* of a log without a page: where output is missing in it; set after source_open */
    const struct run_gap *gaps;
    size_t gap_count, next_gap;
    uint64_t shift;  /* how much more output there was before offset than the log has */
    int64_t time_ms; /* wall time of the byte at offset */
    uint32_t rows, cols;
    bool lossy;  /* part of the output could not be read */
    bool failed; /* the log cannot be read */
};

/* rows, cols, time_ms: values until the first mark. Descriptors and page must be valid while source
 * is used. */
void source_open(struct source *source, int log_fd, int marks_fd, struct status_page *page,
                 uint64_t limit, uint32_t rows, uint32_t cols, int64_t time_ms);
/* Goes back to the first byte. */
void source_rewind(struct source *source, uint32_t rows, uint32_t cols, int64_t time_ms);
/* Copies up to size bytes that came at one time (time_ms) in one window (rows, cols). Returns how
 * many; 0: no more are available now. *missing: how many bytes of output before these are lost. */
size_t source_read(struct source *source, void *out, size_t size, uint64_t *missing);
/* The number of bytes of output before the next byte. */
uint64_t source_position(const struct source *source);
/* The number of bytes that could be read now. */
uint64_t source_left(const struct source *source);

#endif
