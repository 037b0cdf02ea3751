/* The keeper: a process between us and the command, the command's parent. At a terminal it leads
   the command's session: without it the command's process group would be orphaned in the kernel's
   sense, where Ctrl-Z does nothing; and its end would hang up on everything that the command left
   running. It reaps the command, so that the command's use of CPU and memory reaches our caller. */
#ifndef NIXFLEET_KEEPER_H
#define NIXFLEET_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

/* What the keeper tells, in order: the command's start, each stop, the end. */
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
    bool own_group; /* the command leads its process group: where the pump leads its own. A shell
                       that finds itself at the head of a group makes none for itself. */
    struct keeper_job command; /* must exec, exit, or return when exec failed */
};

/* Called in a new process that has all signals blocked (signals.h); never returns. Waits for a byte
   on channel (at its end of file it exits), forks, does command in the child, in a process group
   that is the terminal's foreground, and reports over channel until the command's end. Then it
   waits for the end of file on channel, so that neither the group nor the session are given up
   while the pump still counts on them. If the pump dies before, the command is hung up on. */
void keeper_run(const struct keeper_plan *plan);

#endif
