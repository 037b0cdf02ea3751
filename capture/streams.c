/* Makes a plan for the command's streams from the caller's descriptors. */
#include "streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

static bool same_file(int a, int b)
{
    struct stat one, other;

    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Opens the terminal to read keys from: our controlling terminal, even if all streams are
   redirected, unless stdin is another terminal. It gets a file description of its own, because
   other programs read from the terminal, too: between poll and read they may have taken the input,
   and the read must not wait then. */
static int find_terminal(bool in, bool *controlling)
{
    static const int flags = O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open("/dev/tty", flags);
    char name[64];

    *controlling = fd >= 0;
#ifndef __linux__ /* poll(2) of macOS does not support /dev/tty */
    for (int i = 0; i <= STDERR_FILENO && fd >= 0; i++) {
        int same = isatty(i) && ttyname_r(i, name, sizeof name) == 0 ? open(name, flags) : -1;

        if (same >= 0) {
            close(fd);
            return same;
        }
    }
#endif
    if (!in || (fd >= 0 && tcgetpgrp(STDIN_FILENO) >= 0))
        return fd;
    close_fd(&fd);
    if (ttyname_r(STDIN_FILENO, name, sizeof name) == 0)
        fd = open(name, flags);
    return fd < 0 ? STDIN_FILENO : fd;
}

/* Whether one of the streams leads to another program, which may use the same terminal. */
static bool in_pipeline(void)
{
    struct stat info;

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)))
            return true;
    return false;
}

/* If the caller has closed a standard descriptor, the next file that we open would get its number,
   and output that is meant for nobody. The command finds the descriptor closed again, by
   close-on-exec. */
static void fill_closed(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void streams_plan(struct streams *s, bool no_pty, bool sudo)
{
    bool has_out = is_open(STDOUT_FILENO), has_err = is_open(STDERR_FILENO);
    bool in = isatty(STDIN_FILENO), out = isatty(STDOUT_FILENO), err = isatty(STDERR_FILENO);

    fill_closed();
    *s = (struct streams){.pty_out = -1};
    s->terminal_fd = find_terminal(in, &s->session);
    s->shared = s->terminal_fd >= 0 && (!in || in_pipeline());
    s->plain = !out && !err && has_out && has_err && same_file(STDOUT_FILENO, STDERR_FILENO);
    /* sudo before 1.9.14 (Debian 12) takes any terminal for the one at which it asks, and writes
     * the output of its command there. */
    s->output_pty = s->plain && !no_pty && !(sudo && s->session);
    s->pty_stdin = in;
    s->pty_stdout = out;
    s->pty_stderr = err;
    s->pipe_stdout = !out && !s->output_pty && has_out;
    s->pipe_stderr = !err && !s->plain && has_err;
    s->pty = in || out || err || s->terminal_fd >= 0;
    if (out)
        s->pty_out = STDOUT_FILENO;
    else if (err)
        s->pty_out = STDERR_FILENO;
    else if (s->pty)
        s->pty_out = s->terminal_fd; /* only output to /dev/tty arrives there: a prompt */
}
