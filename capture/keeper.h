/* The keeper: the command's parent process, between the pump and the command. At a terminal the
 * keeper is the session leader of the command's session. Without it the command's process group
 * would be orphaned in the kernel's sense, and Ctrl-Z would have no effect; and the command's end
 * would send a hangup to all processes that it left running. The keeper reaps the command, so that
 * the command's use of CPU and memory is counted for our caller. */
#ifndef NIXFLEET_KEEPER_H
#define NIXFLEET_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

/* The keeper's messages, in order: the command's start, each stop, the end. */
struct keeper_report {
    enum { KEEPER_STARTED, KEEPER_STOPPED, KEEPER_ENDED, KEEPER_FAILED } what;
    pid_t pid;
    pid_t group; /* STARTED: the command's process group */
    int value;   /* STOPPED: the signal; ENDED: status as of waitpid; FAILED: errno of fork */
};

/* A call with what it needs. */
struct keeper_job {
    void (*call)(void *);
    void *context;
};

struct keeper_plan {
    int channel;    /* to the pump: a connected socket, blocking */
    int terminal;   /* the command's controlling terminal, for a session of its own; -1: the command
                       stays in the caller's session */
    bool own_group; /* the command leads its process group, if the pump leads its own. A shell that
                       is a group leader makes no group for itself. */
    struct keeper_job command; /* must exec, exit, or return when exec failed */
};

/* Called in a new process that has all signals blocked (signals.h); never returns. Waits for a byte
   on channel (at its end of file it exits), forks, does command in the child, in a process group
   that is the terminal's foreground, and reports over channel until the command's end. Then it
   waits for the end of file on channel, so that the group and the session exist as long as the pump
   needs them. If the pump dies before, the command gets a hangup. */
void keeper_run(const struct keeper_plan *plan);

#endif
