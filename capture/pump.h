/* The copy loop: what the command writes goes to the log, then to the caller; keys go to the
   command; signals, stops, window sizes and the helpers are looked after in between. It never waits
   for anything but poll. */
#ifndef NIXFLEET_PUMP_H
#define NIXFLEET_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "helpers.h"
#include "runlog.h"
#include "status.h"
#include "streams.h"
#include "terminal.h"

#define PUMP_BUFFER ((size_t)64 * 1024)

/* One way: from a descriptor of the command's to one of the caller's. Bytes [start, end) of buffer
 * are in the log and not yet written. */
struct flow {
    int from;        /* -1: ended */
    int to;          /* -1: nobody looks any more; bytes are logged and dropped */
    bool to_is_ours; /* a description of our own, non-blocking; else writes are kept so small that
                        they do not block */
    bool is_pipe;    /* from is a pipe: closing it tells the command (SIGPIPE) */
    bool held_cr;    /* a CR that is logged, and written once it is known what follows it */
    size_t start, end;
    unsigned char buffer[PUMP_BUFFER];
};

struct pump {
    struct child *child;
    struct terminal *terminal;
    struct run_log *log;
    struct status_page *page; /* may be NULL */
    struct helpers *helpers;
    struct flow flows[3]; /* pty, stdout, stderr */
    int signals;          /* read end of the self-pipe */
    uint64_t bytes, log_bytes;
    uint32_t rows, cols;
    bool nohup, pipeline; /* pipeline: stdout and stderr are one pipe: its reader's end is ours to
                             pass on */
    unsigned char keys[4096]; /* typed, not yet taken by the command: [keys_start, keys_end) */
    size_t keys_start, keys_end;
    bool keys_echoed;     /* where they were typed */
    bool echo_comes;      /* shared.h: the next LF from the pty was shown there, too */
    int64_t unclaimed_ms; /* shared.h: monotonic time when what was typed is ours; 0: nothing was */
    int64_t alert_ms;     /* shared.h: monotonic time until which we look often */
    int64_t kill_ms;      /* monotonic time of SIGKILL after a stop; 0: no stop */
    bool log_failed, terminal_gone;
    bool output_lost; /* not all that goes to stdout could be written there */
    bool leave;       /* after the end: a signal asked us not to wait for the delivery */
};

/* Prepares the flows. Allocates nothing: a pump is large (PUMP_BUFFER for each flow), and better
 * not on the stack. */
void pump_init(struct pump *pump, const struct streams *streams);
/* Copies until the command has ended and all that it wrote is written. child->status is then
   set. */
void pump_run(struct pump *pump);
/* After the end: lets the helpers deliver until deadline (monotonic) at most, or until the caller
 * wants to go. */
void pump_wait_delivery(struct pump *pump, int64_t deadline_ms);
void pump_free(struct pump *pump);

#endif
