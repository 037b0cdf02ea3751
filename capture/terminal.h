/* The caller's terminal: raw while the command runs in our foreground, restored on every way
   out. */
#ifndef NIXFLEET_TERMINAL_H
#define NIXFLEET_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
    int fd;            /* -1: there is none */
    bool raw;          /* what we have set */
    bool keep_signals; /* part of a pipeline: Ctrl-C must reach its other programs, too */
    bool keep_output;  /* others write to this terminal: leave its output processing on */
    struct termios saved;
};

/* Makes it raw if we are in the foreground and it is not yet. Returns whether it is raw now. */
bool terminal_enter(struct terminal *terminal);
/* Gives it back as it was. Does nothing where we have changed nothing. */
void terminal_leave(struct terminal *terminal);
/* Whether a terminal puts a CR in front of each LF that is written to it. */
bool terminal_adds_cr(int fd);
/* Its size; false (and 24x80) if it has none. */
bool terminal_size(int fd, uint32_t *rows, uint32_t *cols);

#endif
