/* The command: started under its pty and pipes, in a session and process group of its own. */
#ifndef NIXFLEET_CHILD_H
#define NIXFLEET_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper.h"
#include "streams.h"
#include "terminal.h"

struct child {
    pid_t pid;    /* also its process group */
    pid_t keeper; /* keeper.h */
    int channel;  /* to the keeper (non-blocking), or -1 */
    int report;   /* while it starts: exec's errno or, once it has worked, end of file; or -1 */
    int master;   /* our side of the pty (non-blocking), or -1 */
    int out, err; /* our sides of the pipes (non-blocking), or -1; out: of the second pty, too */
    bool out_is_pty;
    struct termios modes; /* that the pty began with */
    bool ended;
    int status; /* of waitpid, once ended */
};

/* How a command is started. Signals are put back to what the caller had (signals.h). */
struct child_plan {
    const struct streams *streams;
    char *const *command, *const *environment;
    const struct termios *modes; /* that the pty begins with; NULL: the system's */
    uint32_t rows, cols;
    bool hangup_ignored;         /* SIGHUP is (--nohup) */
    struct keeper_job meanwhile; /* for the keeper while the command runs; its call may be NULL */
};

/* Makes all that the command needs to start, and the process that will start it: the caller has
   time for other things while that one comes up. 0; -1 with errno: nothing is left to be closed. */
int child_prepare(struct child *child, const struct child_plan *plan);

enum child_failure { CHILD_STARTED, CHILD_NO_RESOURCES, CHILD_NO_EXEC };

/* After child_prepare: starts the command, and waits until it is executed. CHILD_NO_RESOURCES:
   nothing was started, errno says why; CHILD_NO_EXEC: it could not be executed, errno is exec's.
   Nothing is left to be closed then. */
enum child_failure child_start(struct child *child);
/* Sets the size of the pty: the kernel sends SIGWINCH. */
void child_resize(const struct child *child, uint32_t rows, uint32_t cols);
/* What has happened to it, to be called when channel is readable: returns the signal that stopped
   it, or 0. Sets ended and status at its end (killed by SIGKILL, where the keeper was killed and
   nobody knows). */
int child_event(struct child *child);
/* Sends a signal to the process group while the command lives (its pid is then surely its own). */
void child_signal(const struct child *child, int number);
/* After the end: lets the keeper go, which takes a moment that the caller can use until
 * child_close. */
void child_release(struct child *child);
void child_close(struct child *child);

#endif
