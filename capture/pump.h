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

/* One way: from a descriptor of the command's to one of the caller's. Bytes [start, end) of buffer
 * are in the log and not yet written. */
struct flow {
    int from;        /* -1: ended */
    struct sink to;  /* if the reader has gone, bytes are logged and dropped */
    bool is_pipe;    /* from is a pipe: closing it tells the command (SIGPIPE) */
    bool held_cr;    /* a CR that is logged, and written once it is known what follows it */
    bool short_ends; /* what waits has LF for each CR LF: the terminal adds the CR again */
    size_t left;     /* after the command's end: bytes from it that are still to be read */
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
    struct flow flows[3];  /* pty, stdout, stderr */
    struct flow *errors;   /* the one of the caller's stderr, for what cannot wait to be said; NULL:
                              nothing of ours is to be said there */
    int signals;           /* signals.h */
    uint64_t bytes;        /* that came from the command */
    struct winsize window; /* of the command's terminal */
    uint32_t rows, cols;   /* the same for the log: 24x80 where there is none */
    bool nohup, pipeline;  /* pipeline: stdout and stderr are one pipe: its reader's end is ours to
                              pass on */
    unsigned char keys[4096]; /* typed, not yet taken by the command: [keys_start, keys_end) */
    size_t keys_start, keys_end;
    bool keys_echoed;     /* where they were typed */
    bool keys_literal;    /* the next one is not special: the last one was VLNEXT */
    bool echo_comes;      /* shared.h: the next LF from the pty was shown there, too */
    bool unclaimed_key;   /* shared.h: it is a key, and has waited as long as a line waits */
    int64_t unclaimed_ms; /* shared.h: monotonic time when what was typed is ours; 0: nothing was */
    int64_t pause_ms;     /* monotonic time until which the terminal is left as it was: a key may
                             have ended our caller */
    int64_t alert_ms;     /* shared.h: monotonic time until which we look often */
    int64_t kill_ms;      /* monotonic time of the next step of a stop; 0: no stop */
    bool end_asked;       /* by a key or a signal that ends a command which does not care for it */
    int64_t give_up_ms; /* DRAINING, of a command that has ended of such a one: monotonic time until
                           which the caller must have taken something; 0: we wait */
    /* How far the end of a command has come that belongs to another user: it cannot be killed. */
    enum { STOP_BY_SIGNAL, STOP_INTERRUPTED, STOP_HANGUP_TOLD, STOP_HUNG_UP } stop;
    bool terminal_gone;
    int log_pause_ms; /* no output is read for so long: the log has no room */
    bool output_lost; /* not all that goes to stdout could be written there */
    bool left_behind; /* this is the process that pump_stay_behind has made */
    bool leave;       /* after the end: a signal asked us not to wait any more */
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
/* After child_wait: if other processes still have the command's pipes or terminal open, makes a
 * process that copies their output to the caller and to the log until they close them. */
void pump_stay_behind(struct pump *pump);
void pump_free(struct pump *pump);

#endif
