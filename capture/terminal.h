/* The caller's terminal: raw while the command runs in the foreground, and restored on every way
 * out. */
#ifndef NIXFLEET_TERMINAL_H
#define NIXFLEET_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h> /* struct winsize */
#include <termios.h>

struct terminal {
    int fd;            /* -1: there is none */
    bool raw;          /* what we have set */
    bool keep_signals; /* part of a pipeline: Ctrl-C must reach its other programs, too */
    bool keep_output;  /* others write to this terminal: leave its output processing on */
    bool in_output;    /* off for the moment, while output is written that is processed already */
    bool shared;       /* other programs may read from it: it is only taken when it is asked for */
    int turn;          /* the terminal once more, to lock; -1: not to be had (see terminal_open) */
    struct termios first;       /* when we came */
    struct termios saved, ours; /* while it is raw: before, and as we have set it */
};

/* Reads the modes of the terminal fd. If several wrappers share a terminal (`nixfleet-run a &
 * nixfleet-run b`), one at a time makes it raw: otherwise the second one would restore raw modes at
 * its end. The wrapper that holds a lock on the device may change the modes; the kernel drops the
 * lock with the process. */
void terminal_open(struct terminal *terminal);
/* The modes of a terminal, without the changes of another wrapper. Returns 0, or -1. */
int terminal_modes(const struct terminal *terminal, int fd, struct termios *mode);
/* True if another process group is in the foreground. False without job control, or if the terminal
 * has closed. */
bool terminal_in_background(const struct terminal *terminal);
/* Makes the terminal raw if we are in the foreground, no other wrapper holds the lock, and the
 * terminal is not raw (another program may have changed the modes). Returns whether the terminal is
 * raw now. */
bool terminal_enter(struct terminal *terminal);
/* To be called before output that the command's terminal has processed: switches output processing
 * off. It is off only during such a write: the output of other programs (a job of the same shell,
 * wall(1)) needs the processing, or each line would start where the last one ended. */
void terminal_begin_output(struct terminal *terminal);
/* Whether the terminal only turns LF into CR LF: then terminal_begin_output is not needed. */
bool terminal_completes_lines(const struct terminal *terminal);
void terminal_end_output(struct terminal *terminal);
/* To be called when the command has ended: keys go to the next reader and make signals as before.
 * The rest of the command's output can still be written. */
void terminal_end_keys(struct terminal *terminal);
/* Restores the initial modes. Does nothing if we changed none, or if another program has changed a
 * shared terminal since. */
void terminal_leave(struct terminal *terminal);
/* Whether another program, not started by the command (gpg-agent's pinentry), reads without echo
 * from a terminal that we have made raw. */
bool terminal_used_by_another(const struct terminal *terminal);
/* Puts bytes into the terminal's input as if they were typed, if the kernel allows this. */
void terminal_type(const struct terminal *terminal, const unsigned char *bytes, size_t size);
/* Whether path (a GPG_TTY) names this terminal. */
bool terminal_is_named(const struct terminal *terminal, const char *path);
/* True if no other program has changed the terminal: its modes are the initial ones, or canonical
 * with echo. *mode is set to the present modes. */
bool terminal_is_free(const struct terminal *terminal, struct termios *mode);
bool terminal_same_modes(const struct termios *one, const struct termios *other);
/* Whether a terminal puts a CR in front of each LF that is written to it. */
bool terminal_adds_cr(int fd);
/* The size of a window, for the log: false (and 24x80) if the window has no rows or no columns. */
bool terminal_rows_and_cols(const struct winsize *window, uint32_t *rows, uint32_t *cols);

#endif
