/* Raw mode and size of the caller's terminal. */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* True if we are in the terminal's foreground process group: only then may it be changed or
   read. */
static bool in_foreground(const struct terminal *terminal)
{
    pid_t group;

    if (terminal->fd < 0)
        return false;
    group = tcgetpgrp(terminal->fd);
    /* A terminal that is not our controlling one has no job control for us: nobody else's turn can
     * be disturbed. */
    return group == getpgrp() || (group < 0 && errno == ENOTTY);
}

/* tcsetattr, without being stopped when we have just lost the foreground (SIGTTOU is ignored), and
 * again after EINTR. */
static int set(int fd, int when, const struct termios *mode)
{
    int result;

    do
        result = tcsetattr(fd, when, mode);
    while (result < 0 && errno == EINTR);
    return result;
}

bool terminal_enter(struct terminal *terminal)
{
    struct termios mode;

    if (terminal->raw || !in_foreground(terminal) || tcgetattr(terminal->fd, &terminal->saved) < 0)
        return terminal->raw;
    mode = terminal->saved;
    mode.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!terminal->keep_signals)
        mode.c_lflag &= ~(tcflag_t)ISIG;
    if (!terminal->keep_output)
        mode.c_oflag &= ~(tcflag_t)OPOST; /* the inner terminal has processed the output already */
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    terminal->raw = set(terminal->fd, TCSADRAIN, &mode) == 0;
    return terminal->raw;
}

void terminal_leave(struct terminal *terminal)
{
    if (terminal->raw && in_foreground(terminal))
        set(terminal->fd, TCSADRAIN, &terminal->saved);
    terminal->raw = false;
}

bool terminal_adds_cr(int fd)
{
    struct termios mode;

    return tcgetattr(fd, &mode) == 0 && (mode.c_oflag & OPOST) && (mode.c_oflag & ONLCR);
}

bool terminal_size(int fd, uint32_t *rows, uint32_t *cols)
{
    struct winsize size;

    *rows = 24;
    *cols = 80;
    if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return false;
    *rows = size.ws_row;
    *cols = size.ws_col;
    return true;
}
