/* The keeper: a process between us and the command, the leader of the command's session. Without it
   the command's process group would be orphaned in the kernel's sense, where Ctrl-Z does nothing;
   and its end would hang up on everything that the command left running. */
#ifndef NIXFLEET_KEEPER_H
#define NIXFLEET_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

/* What the keeper tells, in order: the command's pid, each stop, the end. */
struct keeper_report {
    enum { KEEPER_STARTED, KEEPER_STOPPED, KEEPER_ENDED, KEEPER_FAILED } what;
    pid_t pid;
    int value; /* STOPPED: the signal; ENDED: status as of waitpid; FAILED: errno of fork */
};

/* A call with what it needs. */
struct keeper_job {
    void (*call)(void *);
    void *context;
};

/* Called in a new process; never returns. Leads a new session with slave (-1: none) as its
   terminal, waits for a byte on channel (at its end of file it exits), forks, does command in the
   child (which must exec, exit, or return when exec failed) with that process group in the
   terminal's foreground, and reports over channel until the command's end. Then it waits for the
   end of file on channel, so that neither the pid nor the session are given up while the caller
   still counts on them. meanwhile (its call may be NULL) is done once while the command runs, not
   where exec is known to have failed; stops and the end are reported when it has returned. */
void keeper_run(int slave, int channel, struct keeper_job command, struct keeper_job meanwhile);

#endif
