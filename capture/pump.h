/* The copy loop: the output of the command goes to the log, then to the caller; keys go to the
 * command. The loop also handles signals, stops, window sizes and the helpers. It waits only in
 * poll. */
#ifndef NIXFLEET_PUMP_H
#define NIXFLEET_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "helpers.h"
#include "runlog.h"
#include "sink.h"
#include "status.h"
#include "streams.h"
#include "terminal.h"

#define PUMP_BUFFER ((size_t)64 * 1024)

/* One direction: from a descriptor of the command to one of the caller. Bytes [start, end) of
 * buffer are in the log and not yet written to the caller. Before them come `ahead` bytes that are
 * in the log, too, but still in the pipe of the command (pump_flow.c). */
struct flow {
    int from;       /* -1: ended */
    struct sink to; /* if the reader is gone, bytes are logged and dropped */
    /* from is a pipe: closing it tells the command that its reader is gone (SIGPIPE) */
    bool is_pipe;
    bool held_cr; /* a CR is logged, and will be written when the next byte is known */
    /* the waiting bytes have LF instead of CR LF, because the terminal adds the CR again */
    bool short_ends;
    size_t left;    /* after the end of the command: its bytes that are still to be read */
    uint64_t bytes; /* read so far */
    bool flood;     /* much output comes, and much of it at once */
    bool wide;      /* its pipes have been made larger */
    size_t ahead;
    size_t start, end;
    unsigned char buffer[PUMP_BUFFER];
};

/* What a pump does. RUNNING: the command runs. DRAINING: it has ended, and the rest of its output
 * is written to the caller. DELIVERING: the helpers have time to deliver. */
enum pump_state { PUMP_RUNNING, PUMP_DRAINING, PUMP_DELIVERING, PUMP_STATES };

struct pump {
    enum pump_state state;
    struct child *child;
    struct terminal *terminal;
    struct run_log *log;
    struct helpers *helpers;
    struct flow flows[3]; /* pty, stdout, stderr */
    /* the flow to the caller's stderr, for lines that cannot wait until the end; NULL: write no
     * such lines */
    struct flow *errors;
    int signals;           /* from signals_catch */
    uint64_t bytes;        /* of output so far */
    struct winsize window; /* of the command's terminal */
    uint32_t rows, cols;   /* the same for the log: 24x80 without a window */
    /* pipeline: stdout and stderr are one pipe, so if its reader ends, the command must get SIGPIPE
     */
    bool nohup, pipeline;
    unsigned char keys[4096]; /* typed, but not yet taken by the command: [keys_start, keys_end) */
    size_t keys_start, keys_end;
    bool keys_echoed;   /* they were echoed where they were typed */
    bool keys_literal;  /* the next key has no special meaning: the last one was VLNEXT */
    bool echo_comes;    /* shared.h: the next LF from the pty is an echo that is already shown */
    bool unclaimed_key; /* shared.h: a key that nobody has read for as long as lines wait */
    /* shared.h: monotonic time when an unread key or line becomes ours; 0: none is unread */
    int64_t unclaimed_ms;
    /* monotonic time until which the terminal stays unchanged: a key may have ended our caller */
    int64_t pause_ms;
    /* the signal of the last key for our callers, and the monotonic time until which we wait for
     * the parent process to get it; 0: none */
    int callers_signal;
    int64_t callers_ms;
    int64_t alert_ms; /* shared.h: monotonic time until which we look often */
    int64_t kill_ms;  /* monotonic time of the next step of a stop; 0: no stop */
    /* a signal that waits until it is known whether the command has it already; number 0: none */
    struct {
        int number;
        bool alone;
        int64_t since_ms, until_ms; /* monotonic */
    } held;
    bool end_asked; /* by a key or a signal that ends a command, unless the command handles it */
    /* DRAINING, after end_asked: monotonic time by which the caller must take something; 0: no
     * limit */
    int64_t give_up_ms;
    /* The state of a stop of a command that belongs to another user, so that it cannot be
     * killed. */
    enum { STOP_BY_SIGNAL, STOP_INTERRUPTED, STOP_HANGUP_TOLD, STOP_HUNG_UP } stop;
    bool terminal_gone;
    int log_pause_ms; /* no output is read for this time, because the log has no space */
    bool output_lost; /* not all output could be written to stdout */
    bool left_behind; /* this process was made by pump_stay_behind */
    bool leave;       /* after the end: a signal asks us not to wait any more */
};

/* Prepares the flows. Allocates nothing. A pump is large (PUMP_BUFFER for each flow), so it should
 * not be on the stack. */
void pump_init(struct pump *pump, const struct streams *streams);
/* Copies until the command has ended and all its output is written. Sets child->status. */
void pump_run(struct pump *pump);
/* To be called after the end of the command: lets the helpers deliver, at most until deadline_ms
 * (monotonic) or until the caller asks us to end. */
void pump_wait_delivery(struct pump *pump, int64_t deadline_ms);
/* To be called after child_wait. If other processes still have the command's pipes or terminal
 * open, makes a process that copies their output to the caller and to the log until they close
 * them. Returns whether there is such a process. */
bool pump_stay_behind(struct pump *pump);
void pump_free(struct pump *pump);

#endif
