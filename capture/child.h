/* The command: started under its pty and pipes, in a process group of its own. If the caller has a
   terminal, the command is also in a session of its own. */
#ifndef NIXFLEET_CHILD_H
#define NIXFLEET_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h> /* for struct winsize */
#include <sys/types.h>

#include "monitor.h"
#include "streams.h"
#include "terminal.h"

#define CHILD_SIGNALS 65 /* one more than the highest number */

struct child {
    pid_t pid, group; /* of the command, and of its first process group */
    pid_t monitor;    /* monitor.h; -1: none, or reaped */
    int channel;      /* to the monitor (non-blocking); -1: none */
    int report; /* during the start: the errno of exec, or end of file if exec worked; -1: none */
    int master; /* our side of the pty (non-blocking); -1: none */
    /* our sides of the pipes (non-blocking); -1: none. out may also be the second pty */
    int out, err;
    bool out_is_pty;
    /* the command is in a new session; the monitor leads it, and its terminal is the pty */
    bool session;
    struct termios modes; /* with which the pty began */
    bool begun;           /* after child_begin: the new process has been told */
    bool adopted;         /* after child_hang_up: the command is our own child */
    /* monotonic time at which another process sent this signal to the monitor; 0: not */
    int64_t signalled_ms[CHILD_SIGNALS];
    bool found_early[CHILD_SIGNALS]; /* the monitor's next report of it is known already */
    bool ended;
    bool lost;  /* the monitor was killed: the end of the command is not known */
    int status; /* from waitpid, once ended; SIGKILL if lost */
};

/* Bytes, with the NUL. */
#define TERMINAL_NAME_SIZE 64

/* How to start a command. It gets the signals as the caller had set them (signals.h). */
struct child_plan {
    const struct streams *streams;
    char *const *command, *const *environment;
    /* TERMINAL_NAME_SIZE bytes that get the name of the pty before the command starts, because its
     * environment needs the name */
    char *terminal_name;
    const struct termios *modes; /* with which the pty begins; NULL: the system's standard */
    struct winsize window;       /* of the pty */
    int caller_terminal;         /* see monitor.h */
    struct termios caller_modes;
    bool hangup_ignored; /* the command ignores SIGHUP (--nohup) */
    bool own_group;      /* see monitor.h */
};

/* Makes the descriptors of the command and the process that will start the command. The caller can
 * do other work while this process starts. *plan must be valid until child_started. Returns 0; or
 * -1 with errno, then nothing is left to be closed. */
int child_prepare(struct child *child, const struct child_plan *plan);

enum child_failure { CHILD_STARTED, CHILD_NO_RESOURCES, CHILD_NO_EXEC };

/* After child_prepare: lets the new process start the command. The caller can do other work in the
 * meantime. A failure shows in child_started. */
void child_begin(struct child *child);
/* After child_begin: waits until exec has worked. CHILD_NO_RESOURCES: nothing was started; errno
   has the reason. CHILD_NO_EXEC: exec failed; errno is that of exec. After a failure nothing is
   left to be closed. */
enum child_failure child_started(struct child *child);
/* Sets the size of the pty; the kernel sends SIGWINCH to the command. */
void child_resize(const struct child *child, const struct winsize *window);
/* To be called when channel is readable. Returns the signal that stopped the command, or 0. Sets
 * ended and status if the command has ended. */
int child_event(struct child *child);
/* Sends a signal to the command's process group, while the command lives (its pid cannot be reused
   then). False: nothing was sent, because the command belongs to another user and its terminal has
   no key for this signal. */
bool child_signal(const struct child *child, int number);
/* Sends a signal to the command's first process only. False: as above. */
bool child_signal_alone(const struct child *child, int number);
/* Whether a service manager that has sent this signal to us since since_ms (monotonic) has also
 * sent the signal to the command: to each process of the control group. Each signal is found once.
 */
bool child_has_signal(struct child *child, int number, int64_t since_ms);
/* Whether the command has other rights than this process (sudo). The caller's signals may then
 * reach the command, but not the processes that it runs. */
bool child_has_other_rights(const struct child *child);
/* Hangs up on the command's terminal; this also reaches commands of root. The monitor, which leads
   the session, ends, and we wait for the command ourselves (child_reap). Does nothing without a
   session. */
void child_hang_up(struct child *child);
/* To be called after SIGCHLD. Sets ended and status of a command that is our own child. */
void child_reap(struct child *child);
/* To be called with each result of waitpid. True if the process was the monitor or the command. */
bool child_reaped(struct child *child, pid_t pid, int status);
/* To be called after the end of the command. Tells the monitor to end. This takes a moment, which
 * the caller can use before child_wait or child_close. */
void child_release(struct child *child);
/* Waits until the monitor has ended. */
void child_wait(struct child *child);
void child_close(struct child *child);

#endif
