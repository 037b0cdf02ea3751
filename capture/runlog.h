/* The pump's side of a run's log: the pump writes output to shared memory, and the log writer,
 * another process, writes it to the disk (logwriter.h). No call here waits for a disk. runrecord.h
 * describes the log. */
#ifndef NIXFLEET_RUNLOG_H
#define NIXFLEET_RUNLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "logfiles.h"
#include "runrecord.h"
#include "status.h"

/* All zero is a log that takes nothing: every call on it is allowed. */
struct run_log {
    struct status_page *page; /* NULL: there is no shared memory, and so no log */
    int page_fd;              /* -1: other programs cannot have it */
    int channel;              /* to the log writer */
    int acks_write; /* for the shipper: a byte there says that it has set the page's ack. It
                       keeps the log writer from ending. -1: the run is not streamed */
    int acks_read;
    const struct log_plan *plan;
    pid_t writer; /* -1: it has ended, or could not be started */
    int starts;
    int start_problem; /* errno, where it could not be started */
    int64_t last_mark_ms;
    uint64_t moved_to; /* how far the writer was, and since when (monotonic) */
    int64_t moved_ms;
};

/* Makes the page and starts the log writer, which makes the files. The plan, and what it points at,
   must outlive the log. Returns 0; -1 with errno if there is no shared memory: nothing is then
   logged, and no helper can be started. */
int run_log_open(struct run_log *log, const struct log_plan *plan);
/* Appends output, which is soon in the log, also if this process is killed. If the log is a whole
 * ring behind and the log writer makes progress, waits less than a second for room; if it makes no
 * progress, drops the oldest output. */
void run_log_append(struct run_log *log, const void *bytes, size_t size);
/* Milliseconds after which it is better to append, because the log has no room now; 0: now. */
int run_log_pause(struct run_log *log);
/* Notes a change of the window. */
void run_log_resize(struct run_log *log, uint32_t rows, uint32_t cols);
/* Records how the command ended; STATUS_RUNNING: not known. Output may still be appended (of
 * processes that the command has left behind). */
void run_log_end(struct run_log *log, enum status_end how, int code);
/* Waits until all output so far is on the disk, at most until until_ms (monotonic). False: it is
 * not, but the log writer still tries. */
bool run_log_wait(struct run_log *log, int64_t until_ms);
/* To be called with each pid from waitpid: starts a new log writer if the old one was killed.
 */
void run_log_reaped(struct run_log *log, pid_t pid);
/* Calls say with one line for each problem of the log. */
void run_log_report(const struct run_log *log, void (*say)(void *context, const char *line),
                    void *context);
/* Releases the log writer, which still writes the rest. */
void run_log_close(struct run_log *log);

#endif
