/* The caller's terminal: raw while the command runs in our foreground, restored on every way
   out. */
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

/* Looks at the terminal fd. Of several wrappers on one terminal (`nixfleet-run a & nixfleet-run b`)
   one at a time makes it raw: the next one would take that for the modes that it found, and leave
   them behind. A lock on the device says whose turn it is; it ends with its owner. */
void terminal_open(struct terminal *terminal);
/* The modes of a terminal, but for what another wrapper has set there. 0, or -1. */
int terminal_modes(const struct terminal *terminal, int fd, struct termios *mode);
/* True if another process group is: not where there is no job control, or the terminal has gone. */
bool terminal_in_background(const struct terminal *terminal);
/* Makes it raw if we are in the foreground, no other wrapper has it, and it is not (or not any
   more: somebody else may have set it since). Returns whether it is raw now. */
bool terminal_enter(struct terminal *terminal);
/* Before output is written that the command's terminal has processed: a raw terminal takes it as it
   is. Only then: what others write meanwhile (a job of the same shell, wall(1)) needs the
   processing, or its lines would go down like stairs. */
void terminal_begin_output(struct terminal *terminal);
/* Whether it would show CR LF for an LF, and everything else as it is: then no change is needed. */
bool terminal_completes_lines(const struct terminal *terminal);
void terminal_end_output(struct terminal *terminal);
/* The command has ended: keys are for whoever reads next, and signal as they did before; the rest
 * of the command's output can still be written. */
void terminal_end_keys(struct terminal *terminal);
/* Gives it back as it was. Does nothing where we have changed nothing, or where another program has
   set a shared one since. */
void terminal_leave(struct terminal *terminal);
/* Whether somebody reads from a terminal that we have made raw without showing what is typed: a
   program that was not started by the command (gpg-agent's pinentry). */
bool terminal_used_by_another(const struct terminal *terminal);
/* Puts bytes back as if they were typed, where the kernel allows that. */
void terminal_type(const struct terminal *terminal, const unsigned char *bytes, size_t size);
/* Whether path (a GPG_TTY) names this terminal. */
bool terminal_is_named(const struct terminal *terminal, const char *path);
/* True if nobody beside us has set it for himself: it is as it was when we came, or what is typed
   comes line by line, and is shown. *mode is how it is now. */
bool terminal_is_free(const struct terminal *terminal, struct termios *mode);
bool terminal_same_modes(const struct termios *one, const struct termios *other);
/* Whether a terminal puts a CR in front of each LF that is written to it. */
bool terminal_adds_cr(int fd);
/* Of a window, for the log: false (and 24x80) where it has no rows or no columns. */
bool terminal_rows_and_cols(const struct winsize *window, uint32_t *rows, uint32_t *cols);

#endif
