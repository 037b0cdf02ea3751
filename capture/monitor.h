/* The monitor: the parent process of the command, between the pump and the command. At a terminal
 * the monitor is the leader of the command's session. Without the monitor, the command's process
 * group would be orphaned in the kernel's sense, so that Ctrl-Z would have no effect; and the end
 * of the command would send a hangup to all processes that it left running. The monitor reaps the
 * command, so that the caller gets the command's use of CPU and memory. */
#ifndef NIXFLEET_MONITOR_H
#define NIXFLEET_MONITOR_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

/* The monitor's messages, in order: the command's start, each stop, the end; in between, each
 * signal that another process has sent to the monitor. */
struct monitor_report {
    enum {
        MONITOR_STARTED,
        MONITOR_STOPPED,
        MONITOR_SIGNALLED,
        MONITOR_ENDED,
        MONITOR_FAILED
    } what;
    pid_t pid;
    pid_t group; /* STARTED: the command's process group */
    /* STARTED: unused; STOPPED, SIGNALLED: the signal; ENDED: status from waitpid; FAILED: errno of
     * fork */
    int value;
};

/* A function and its argument. */
struct monitor_job {
    void (*call)(void *);
    void *context;
};

struct monitor_plan {
    int channel; /* to the pump: one end of a socket pair, blocking */
    /* the command's controlling terminal, for a session of its own; -1: the command stays in the
     * caller's session */
    int terminal;
    /* the caller's terminal, which the monitor restores if the pump dies without having done so;
     * -1: none. caller_modes: its modes before */
    int caller_terminal;
    const struct termios *caller_modes;
    /* the command leads its process group, as the pump leads its own. A shell that leads its group
     * makes no new group for itself. */
    bool own_group;
    struct monitor_job command; /* must call exec or exit; returns if exec failed */
};

/* To be called in a new process in which all signals are blocked (signals.h). Never returns. Waits
   for a byte on channel (exits at its end of file), then forks. The child calls command, in a
   process group that is the foreground of the terminal. The monitor sends reports over channel
   until the end of the command. Then it waits for the end of file on channel, because the group and
   the session must exist as long as the pump needs them. If the pump dies earlier, the command gets
   a hangup. */
void monitor_run(const struct monitor_plan *plan);

#endif
