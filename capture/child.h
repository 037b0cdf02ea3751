/* The command: started under its pty and pipes, in a process group of its own and, where the caller
   has a terminal, in a session of its own. */
#ifndef NIXFLEET_CHILD_H
#define NIXFLEET_CHILD_H

#include <stdbool.h>
#include <sys/ioctl.h> /* struct winsize */
#include <sys/types.h>

#include "keeper.h"
#include "streams.h"
#include "terminal.h"

struct child {
    pid_t pid, group; /* the command's, and its first process group's */
    pid_t keeper;     /* keeper.h; -1: none, or reaped */
    int channel;      /* to the keeper (non-blocking), or -1 */
    int report;       /* while it starts: exec's errno or, once it has worked, end of file; or -1 */
    int master;       /* our side of the pty (non-blocking), or -1 */
    int out, err; /* our sides of the pipes (non-blocking), or -1; out: of the second pty, too */
    bool out_is_pty;
    bool session; /* the command is in a new session, whose leader is the keeper and whose terminal
                     is the pty */
    struct termios modes; /* that the pty began with */
    bool adopted;         /* after child_hang_up: our own child */
    bool ended;
    bool lost;  /* the keeper was killed: the end of the command is not known */
    int status; /* of waitpid, once ended; SIGKILL where lost */
};

/* Of a terminal: with its NUL. */
#define TERMINAL_NAME_SIZE 64

/* How a command is started. Signals are put back to what the caller had (signals.h). */
struct child_plan {
    const struct streams *streams;
    char *const *command, *const *environment;
    char *terminal_name; /* TERMINAL_NAME_SIZE bytes that become the name of the pty, before the
                            command is started: for a place in its environment */
    const struct termios *modes; /* that the pty begins with; NULL: the system's */
    struct winsize window;       /* of the pty */
    bool hangup_ignored;         /* SIGHUP is (--nohup) */
    bool own_group;              /* keeper.h */
};

/* Makes the descriptors of the command and the process that will start it; the caller can do other
 * work while this process starts. Returns 0; -1 with errno: nothing is left to be closed. */
int child_prepare(struct child *child, const struct child_plan *plan);

enum child_failure { CHILD_STARTED, CHILD_NO_RESOURCES, CHILD_NO_EXEC };

/* After child_prepare: starts the command, and waits until it is executed. CHILD_NO_RESOURCES:
   nothing was started, errno says why; CHILD_NO_EXEC: it could not be executed, errno is exec's.
   Nothing is left to be closed then. */
enum child_failure child_start(struct child *child);
/* Sets the size of the pty: the kernel sends SIGWINCH. */
void child_resize(const struct child *child, const struct winsize *window);
/* To be called when channel is readable: returns the signal that stopped the command, or 0. Sets
 * ended and status when the command has ended. */
int child_event(struct child *child);
/* Sends a signal to the process group while the command lives (its pid is then surely its own).
   False: nothing could be sent: the command belongs to another user, and its terminal has no key
   for this signal. */
bool child_signal(const struct child *child, int number);
/* The same to the command's first process alone. */
bool child_signal_alone(const struct child *child, int number);
/* Hangs up on the command's terminal, as root would see it, too: the keeper ends, which leads the
   session there. We wait for the command ourselves then (child_reap). Does nothing where there is
   no session. */
void child_hang_up(struct child *child);
/* After SIGCHLD: sets ended and status of a command that we wait for ourselves. */
void child_reap(struct child *child);
/* A process was waited for: true, if it was the keeper or the command. */
bool child_reaped(struct child *child, pid_t pid, int status);
/* After the end: lets the keeper go, which takes a moment that the caller can use until
 * child_close. */
void child_release(struct child *child);
/* Waits until the keeper has gone. */
void child_wait(struct child *child);
void child_close(struct child *child);

#endif
