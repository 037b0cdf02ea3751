/* Which of the command's three streams are a pty, a pipe, or the caller's own. Decided once, from
   what the caller gave us:

     stdout, stderr        the command's stdout, stderr
     both a terminal       the pty
     the same file         a pty of their own, without output processing: lines come as they are
                           written; without a pty (--no-pty, sudo at a terminal): one pipe
     one a terminal        the other one is a pipe, byte for byte
     two files             two pipes

   stdin is the pty where it is a terminal, else the caller's own. Where the caller has a
   controlling terminal, the pty is the command's, and keys are forwarded to it also where stdin is
   something else (a password prompt, a pager). If the caller has none, the command has none: a
   program that asks for a password fails at once, as without nixfleet-run. */
#ifndef NIXFLEET_STREAMS_H
#define NIXFLEET_STREAMS_H

#include <stdbool.h>

struct streams {
    bool pty; /* there is one */
    bool pty_stdin, pty_stdout, pty_stderr;
    bool pipe_stdout, pipe_stderr;
    bool session;    /* the pty is the controlling terminal of a session of the command's own */
    bool plain;      /* stdout and stderr are one file */
    bool output_pty; /* they are a pty of their own then: TERM=dumb, no pagers */
    /* There is a terminal, and other programs may read from it: in a pipeline with us, or because
     * our stdin is not the terminal (`nixfleet-run a & nixfleet-run b` in a script). */
    bool shared;
    int pty_out;     /* where the pty's output goes: 1, 2, the terminal, or -1 */
    int terminal_fd; /* the caller's, or -1; above 2 it is non-blocking, and ours to close */
};

/* sudo: the command is run by sudo(8). Where the caller has a terminal, that one gets no pty of its
   own for its output. */
void streams_plan(struct streams *streams, bool no_pty, bool sudo);

#endif
