/* Signals as events of a descriptor, so that one poll loop handles them in order with everything
   else. */
#ifndef NIXFLEET_SIGNALS_H
#define NIXFLEET_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

struct caught_signal {
    int number;
    bool by_kernel; /* caused by a key, a timer, a limit or a child; false: sent by a process */
    pid_t sender;   /* this process; 0 if it is in another PID namespace */
};

/* Starts to catch every signal that can be caught, and stores the caller's mask and the caller's
   handling of SIGCHLD. On Linux all signals are blocked and read from a signalfd, so that the
   kernel neither stops nor ends this process for what it does to a terminal (SIGTTOU), a pipe
   (SIGPIPE) or a file (SIGXFSZ). On other systems handlers write to a pipe; SIGTTIN, SIGTTOU,
   SIGPIPE, SIGXFSZ and SIGXCPU are ignored there, and faults of the program are not caught. To be
   called once in a process. Returns a descriptor (non-blocking, close-on-exec) that is readable
   when a signal waits, or -1 with errno. */
int signals_catch(void);
/* The same for a forked child that also catches signals: returns a descriptor for the child's own
 * signals. */
int signals_catch_again(void);
/* Takes the next waiting signal. False if there is none. */
bool signals_next(int fd, struct caught_signal *signal);
/* Whether this signal waits. False if the system cannot tell. */
bool signals_waits(int number);
/* Whether the caller ignores this signal (nohup, a script's background job). */
bool signals_ignored(int number);
/* In a new child, before exec: restores every signal as it was before signals_catch, and the
 * caller's mask. Async-signal-safe. */
void signals_restore(void);
/* Ends this process by the signal (see core.h). Returns only if the signal does not kill. */
void signals_die_of(int number);
/* Stops this process by the signal until it is continued. own_group: stops the whole process group,
 * as a terminal does. */
void signals_stop_by(int number, bool own_group);

#endif
