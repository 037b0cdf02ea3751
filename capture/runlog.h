/* The pump's side of a run's log. The pump writes output to shared memory; the log writer, another
 * process, writes it to the disk (logwriter.h). No call here waits for a disk. runrecord.h
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

/* A struct of zeros is a log that takes nothing; every call on it is allowed. */
struct run_log {
    struct status_page *page; /* NULL: there is no shared memory, so there is no log */
    int page_fd;              /* -1: other programs cannot map the page */
    int channel;              /* to the log writer */
    /* for the shipper: a byte says that the shipper has set the page's ack. While it is open, the
     * log writer does not end. -1: the run is not streamed */
    int acks_write;
    int acks_read;
    const struct log_plan *plan;
    pid_t writer; /* -1: it has ended, or could not be started */
    int starts;
    int start_problem; /* errno if it could not be started; else 0 */
    int64_t last_mark_ms;
    /* page->taken at the last progress of the log writer, and its monotonic time */
    uint64_t moved_to;
    int64_t moved_ms;
};

/* Makes the page and starts the log writer, which creates the files. *plan and its strings must be
   valid until run_log_close. Returns 0; or -1 with errno if there is no shared memory: then nothing
   is logged, and no helper can be started. */
int run_log_open(struct run_log *log, const struct log_plan *plan);
/* Appends output, which is soon in the log even if this process is killed. If the log is a whole
 * ring behind: waits less than a second for space while the log writer makes progress; if it makes
 * none, drops the oldest output. */
void run_log_append(struct run_log *log, const void *bytes, size_t size);
/* The milliseconds to wait before the next append, because the log has no space now; 0: none. If
 * there is space earlier, log->channel becomes readable. */
int run_log_pause(struct run_log *log);
/* To be called when log->channel is readable. */
void run_log_read_channel(struct run_log *log);
/* Notes a new size of the window. */
void run_log_resize(struct run_log *log, uint32_t rows, uint32_t cols);
/* Records how the command ended; STATUS_RUNNING: not known. Output of processes that the command
 * has left behind may still be appended. */
void run_log_end(struct run_log *log, enum status_end how, int code);
/* Waits until all output is on the disk, at most until until_ms (monotonic). False if it is not
 * there by then; the log writer goes on trying. */
bool run_log_wait(struct run_log *log, int64_t until_ms);
/* To be called with each pid from waitpid. Starts a new log writer if the old one was killed. */
void run_log_reaped(struct run_log *log, pid_t pid);
/* Calls say with one line for each problem of the log. */
void run_log_report(const struct run_log *log, void (*say)(void *context, const char *line),
                    void *context);
/* If no other process appends to the log: waits until another run may use the log file, at most
 * until until_ms (monotonic). */
void run_log_let_go(struct run_log *log, int64_t until_ms);
/* Closes the log. The log writer then writes the rest and ends. */
void run_log_close(struct run_log *log);

#endif
