/* The log writer: a process beside the pump that does everything that may have to wait for a disk.
   It creates the files of the run, copies the command's output from the ring of the status page to
   the log, writes marks, acknowledgements and the end, and starts the removal of old runs. If the
   disk is frozen or hangs, only the log writer waits: the pump ends without it, and the log writer
   writes the rest when the disk answers. */
#ifndef NIXFLEET_LOGWRITER_H
#define NIXFLEET_LOGWRITER_H

#include <stdbool.h>

#include "logfiles.h"
#include "status.h"

/* Values of page->writer_sleeps: when the writer wants a byte on its channel. */
enum { WRITER_AWAKE, WRITER_NAPS, WRITER_SLEEPS };
/* While the writer naps, it wants a byte only if this many bytes wait. */
#define WRITER_NAP_BYTES ((uint64_t)256 << 10)
/* A pump that waits goes on when no more than this is left. */
#define WRITER_LOW_BYTES ((uint64_t)512 << 10)

struct log_writer_start {
    const struct log_plan *plan;
    struct status_page *page;
    /* a socket: a byte from the pump wakes the writer; end of file means that no process can write
     * to the ring any more. The writer sends a byte when it has finished */
    int channel;
    /* a pipe: a byte from the shipper means that there is a new acknowledgement. The writer waits
     * for its end of file. -1: nothing is streamed */
    int acks;
    bool again; /* a log writer of this run died before */
};

/* To be called in a new child of the pump. Never returns. Keeps only these two descriptors; the
 * caller's output must be open until --log is opened. */
void log_writer_run(const struct log_writer_start *start) __attribute__((noreturn));

#endif
