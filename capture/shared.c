/* Who gets what is typed: the command, or another program that uses the same terminal. */
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

bool shared_asked_for(const struct child *child)
{
    struct termios now;

    return tcgetattr(child->master, &now) == 0 && !terminal_same_modes(&now, &child->modes);
}

size_t shared_take_line(const struct terminal *terminal, const struct termios *mode,
                        unsigned char *bytes, size_t size)
{
    struct pollfd ready = {.fd = terminal->fd, .events = POLLIN};
    ssize_t n;

    if (poll(&ready, 1, 0) <= 0)
        return 0;
    n = read(terminal->fd, bytes, size - 1);
    if (n < 0)
        return 0;
    if (!(mode->c_lflag & ICANON))
        return (size_t)n;
    /* Input that does not end in LF was ended by the end-of-file character. */
    if (n == 0 || (bytes[n - 1] != '\n' && (size_t)n < size - 1))
        bytes[n++] = mode->c_cc[VEOF];
    return (size_t)n;
}

/* Returns when the kernel has passed on what was written to the master; poll makes it do so. */
static void wait_for_slave(int master)
{
    const char *name = ptsname(master);
    struct pollfd slave = {.fd = name ? open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1,
                           .events = POLLIN};

    poll(&slave, 1, 0);
    if (slave.fd >= 0)
        close(slave.fd);
}

/* Writes without an echo. */
static ssize_t give_quietly(int master, const unsigned char *bytes, size_t size)
{
    struct termios before, quiet, now;
    int problem;
    ssize_t n;

    if (tcgetattr(master, &before) < 0)
        return write(master, bytes, size);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(master, TCSANOW, &quiet); /* on failure the text is shown twice */
    n = write(master, bytes, size);
    problem = errno;
    wait_for_slave(master);
    if (tcgetattr(master, &now) < 0 || terminal_same_modes(&now, &quiet))
        tcsetattr(master, TCSANOW, &before);
    errno = problem;
    return n;
}

/* Whether no output of the command waits to be read. An echo would come behind such output. */
static bool nothing_waits(int master)
{
    struct pollfd ready = {.fd = master, .events = POLLIN};

    return poll(&ready, 1, 0) == 0;
}

ssize_t shared_give_line(const struct child *child, const unsigned char *bytes, size_t size,
                         bool *echoes_end)
{
    struct termios now;
    ssize_t n, last;

    *echoes_end = false;
    if (size > 1) {
        n = give_quietly(child->master, bytes, size - 1);
        if (n != (ssize_t)(size - 1))
            return n;
    }
    *echoes_end = bytes[size - 1] == '\n' && nothing_waits(child->master) &&
                  tcgetattr(child->master, &now) == 0 && (now.c_lflag & ECHO);
    last = write(child->master, bytes + size - 1, 1);
    if (last == 1)
        return (ssize_t)size;
    *echoes_end = false;
    return size > 1 ? (ssize_t)(size - 1) : last;
}
