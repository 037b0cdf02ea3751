/* The output of a run as its marks cut it: which bytes, when they came, in which window. Reads a
   run that is going on (as far as the page says that the log goes, then from the page's ring) or
   one that is over. */
#ifndef NIXFLEET_SOURCE_H
#define NIXFLEET_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../capture/status.h"

struct source {
    int log_fd, marks_fd;     /* borrowed; -1: there is none. With a page, the log is opened when it
                                 is needed. */
    struct status_page *page; /* NULL: the run is over */
    uint64_t limit;     /* bytes of output that concern us: without a page, those in the log */
    uint64_t offset;    /* of the next byte of output */
    uint64_t next_mark; /* index of the next record in marks_fd */
    int64_t time_ms;    /* wall time of the byte at offset */
    uint32_t rows, cols;
    bool lossy;  /* part of the output was not to be had */
    bool failed; /* the log cannot be read */
};

/* rows, cols, time_ms: what holds until the first mark. */
void source_open(struct source *source, int log_fd, int marks_fd, struct status_page *page,
                 uint64_t limit, uint32_t rows, uint32_t cols, int64_t time_ms);
/* Back to the first byte. */
void source_rewind(struct source *source, uint32_t rows, uint32_t cols, int64_t time_ms);
/* Copies up to size bytes that came at one time (time_ms) in one window (rows, cols). 0: there are
 *no more now. missing is set to how many bytes of output in front of these are gone. */
size_t source_read(struct source *source, void *out, size_t size, uint64_t *missing);
/* Bytes that could be read now. */
uint64_t source_left(const struct source *source);

#endif
