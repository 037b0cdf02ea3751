/* The caller's terminal: raw while the command runs in the foreground, and restored whenever this
 * program ends or stops. */
#ifndef NIXFLEET_TERMINAL_H
#define NIXFLEET_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h> /* for struct winsize */
#include <termios.h>

struct terminal {
    int fd;            /* -1: none */
    bool raw;          /* we have made it raw */
    bool keep_signals; /* in a pipeline: Ctrl-C must also reach the other programs */
    bool keep_output; /* other programs write to this terminal, so its output processing stays on */
    /* output processing is off for a moment, during a write of output that is processed already */
    bool in_output;
    /* other programs may read from it, so it is made raw only when the command asks for keys */
    bool shared;
    int lock_fd; /* the terminal, opened again for the lock; -1: not available (see terminal_open)
                  */
    struct termios first; /* the modes when we started */
    /* while it is raw: the modes before, and the modes that we have set */
    struct termios saved, ours;
};

/* Reads the modes of the terminal fd. If several wrappers share a terminal (`nixfleet-run a &
 * nixfleet-run b`), one at a time makes it raw; otherwise the second one would restore raw modes at
 * its end. The wrapper that holds a lock on the device may change the modes; the kernel drops the
 * lock when the process ends. */
void terminal_open(struct terminal *terminal);
/* The modes of a terminal, without the changes of another wrapper. Returns 0, or -1 with errno. */
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
/* Switches output processing on again after terminal_begin_output. */
void terminal_end_output(struct terminal *terminal);
/* To be called when the command has ended: keys go to the next reader and cause signals as before.
 * The rest of the command's output can still be written. */
void terminal_end_keys(struct terminal *terminal);
/* Restores the initial modes. Does nothing if we changed none, or if another program has changed a
 * shared terminal since. */
void terminal_leave(struct terminal *terminal);
/* For another process, after the death of the process that made the terminal fd raw: sets the modes
 * that were `before`, unless another program has changed the modes since. */
void terminal_restore(int fd, const struct termios *before);
/* Whether another program that the command did not start (gpg-agent's pinentry) reads without echo
 * from a terminal that we have made raw. */
bool terminal_used_by_another(const struct terminal *terminal);
/* Puts bytes into the terminal's input as if they were typed, if the kernel allows this. */
void terminal_type(const struct terminal *terminal, const unsigned char *bytes, size_t size);
/* Whether path (a GPG_TTY) names this terminal. */
bool terminal_is_named(const struct terminal *terminal, const char *path);
/* True if no other program has changed the terminal: its modes are the initial ones, or canonical
 * with echo. *mode is set to the present modes. */
bool terminal_is_free(const struct terminal *terminal, struct termios *mode);
/* Whether two modes are equal, as far as programs set them. */
bool terminal_same_modes(const struct termios *one, const struct termios *other);
/* Whether a terminal puts a CR in front of each LF that is written to it. */
bool terminal_adds_cr(int fd);
/* The size of a window, for the log: false (and 24x80) if the window has no rows or no columns. */
bool terminal_rows_and_cols(const struct winsize *window, uint32_t *rows, uint32_t *cols);

#endif
