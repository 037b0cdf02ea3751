/* Which of the command's three streams are a pty, a pipe, or the caller's own. Decided once, from
   the caller's descriptors:

     stdout, stderr        the command's stdout, stderr
     both a terminal       the pty
     the same file         a pty of their own, without output processing: lines arrive as they are
                           written; without a pty (--no-pty, sudo at a terminal): one pipe
     one a terminal        the other one is a pipe, byte for byte
     two files             two pipes

   stdin is the pty if it is a terminal, else the caller's own. If the caller has a controlling
   terminal, the pty is the command's controlling terminal, and gets the keys even if stdin is
   something else (a password prompt, a pager). If the caller has none, the command has none: a
   program that asks for a password fails at once, as without nixfleet-run. */
#ifndef NIXFLEET_STREAMS_H
#define NIXFLEET_STREAMS_H

#include <stdbool.h>

struct streams {
    bool pty; /* the command has a pty */
    bool pty_stdin, pty_stdout, pty_stderr;
    bool pipe_stdout, pipe_stderr;
    bool session;    /* the pty is the controlling terminal of a new session for the command */
    bool plain;      /* stdout and stderr are one file */
    bool output_pty; /* these are a pty of their own, so TERM=dumb and no pagers */
    /* There is a terminal, and other programs may read from it: programs of the same pipeline, or
     * programs of a script whose stdin is the terminal while ours is not (`nixfleet-run a &
     * nixfleet-run b`). */
    bool shared;
    int pty_out;     /* where the output of the pty goes: 1, 2, the terminal, or -1 */
    int terminal_fd; /* the caller's, or -1; one above 2 is non-blocking, and ours to close */
};

/* Fills *streams. no_pty: --no-pty. sudo: sudo(8) runs the command; then, if the caller has a
   terminal, the output gets no pty of its own. */
void streams_plan(struct streams *streams, bool no_pty, bool sudo);

#endif
