/* Signals as events in a descriptor, so that one poll loop sees them in order with everything
   else. */
#ifndef NIXFLEET_SIGNALS_H
#define NIXFLEET_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

struct caught_signal {
    int number;
    bool by_kernel; /* a key, a timer, a limit, a child; else a process sent it */
    pid_t sender;   /* that process; 0 where it lives in another PID namespace */
};

/* Starts to catch every signal that can be caught, and remembers the caller's mask and what the
   caller did with SIGCHLD. On Linux all signals are blocked and read from a signalfd, so that the
   kernel neither stops nor ends this process for what it does to a terminal (SIGTTOU), a pipe
   (SIGPIPE) or a file (SIGXFSZ). Elsewhere handlers write to a pipe; SIGTTIN, SIGTTOU, SIGPIPE,
   SIGXFSZ and SIGXCPU are ignored there, and a program's own faults are not caught.
   One set per process. Returns a descriptor that is readable when a signal waits (non-blocking,
   close-on-exec), or -1 with errno. */
int signals_catch(void);
/* In a forked child that goes on catching signals: a descriptor for its own ones. As above. */
int signals_catch_again(void);
/* Takes the next signal that waits. False: there is none. */
bool signals_next(int fd, struct caught_signal *signal);
/* Whether this signal waits to be taken. False where that cannot be known. */
bool signals_waits(int number);
/* Whether the caller had this signal ignored (nohup, a script's background job). */
bool signals_ignored(int number);
/* In a new child, before exec: every signal as it was before signals_catch, and the caller's mask.
 * Async-signal-safe. */
void signals_restore(void);
/* Ends this process by the signal (see core.h). Returns only for one that does not kill. */
void signals_die_of(int number);
/* Stops this process (for own_group: the whole group, as a terminal would) by the signal until it
 * is continued. */
void signals_stop_by(int number, bool own_group);

#endif
