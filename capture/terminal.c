/* Raw mode and window size of the caller's terminal. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* True if we are in the foreground process group of the terminal. Only then may we change or read
   it. */
static bool in_foreground(const struct terminal *terminal)
{
    pid_t group;

    if (terminal->fd < 0)
        return false;
    group = tcgetpgrp(terminal->fd);
    /* A terminal that is not our controlling terminal has no job control for us, so we disturb
     * nobody. */
    return group == getpgrp() || (group < 0 && errno == ENOTTY);
}

/* Calls tcsetattr; we are not stopped if we have just lost the foreground (SIGTTOU is ignored).
 * Repeats after EINTR. */
static int set(int fd, int when, const struct termios *mode)
{
    int result;

    do
        result = tcsetattr(fd, when, mode);
    while (result < 0 && errno == EINTR);
    return result;
}

bool terminal_in_background(const struct terminal *terminal)
{
    pid_t group = tcgetpgrp(terminal->fd);

    return group >= 0 && group != getpgrp();
}

bool terminal_same_modes(const struct termios *one, const struct termios *other)
{
    return one->c_iflag == other->c_iflag && one->c_oflag == other->c_oflag &&
           one->c_lflag == other->c_lflag && one->c_cc[VMIN] == other->c_cc[VMIN];
}

/* False if another program has changed the modes in the meantime: a shell that stopped us, or a
 * pager that runs at the same time. */
static bool as_we_left_it(const struct terminal *terminal)
{
    struct termios now;

    return tcgetattr(terminal->fd, &now) < 0 || terminal_same_modes(&now, &terminal->ours);
}

/* Takes the lock without waiting. True also if no lock is available. */
static bool take_lock(const struct terminal *terminal)
{
    return terminal->lock_fd < 0 || flock(terminal->lock_fd, LOCK_EX | LOCK_NB) == 0 ||
           errno != EWOULDBLOCK;
}

static void release_lock(const struct terminal *terminal)
{
    if (terminal->lock_fd >= 0)
        flock(terminal->lock_fd, LOCK_UN);
}

int terminal_modes(const struct terminal *terminal, int fd, struct termios *mode)
{
    bool others = terminal->lock_fd >= 0 && flock(terminal->lock_fd, LOCK_SH | LOCK_NB) < 0 &&
                  errno == EWOULDBLOCK;
    int result = tcgetattr(fd, mode);

    release_lock(terminal);
    if (others) { /* terminals usually have these modes, but the other wrapper has cleared them */
        mode->c_iflag |= BRKINT | ICRNL | IXON;
        mode->c_lflag |= ECHO | ICANON | IEXTEN | ISIG;
        mode->c_oflag |= OPOST;
    }
    return result;
}

/* Opens the terminal by its own name, for the lock: /dev/tty is one file for all terminals, and a
 * lock on the caller's description would belong to all processes that share it. */
static int open_by_name(void)
{
    char name[64];

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (isatty(fd) && ttyname_r(fd, name, sizeof name) == 0 && strcmp(name, "/dev/tty") != 0)
            return open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return -1;
}

void terminal_open(struct terminal *terminal)
{
    terminal->lock_fd = terminal->fd < 0 ? -1 : open_by_name();
    if (terminal->fd >= 0) /* on failure the modes are such as no terminal has */
        (void)terminal_modes(terminal, terminal->fd, &terminal->first);
}

static struct termios raw_of(const struct termios *before, bool keep_signals)
{
    struct termios mode = *before;

    mode.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!keep_signals)
        mode.c_lflag &= ~(tcflag_t)ISIG;
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    return mode;
}

void terminal_restore(int fd, const struct termios *before)
{
    struct termios now, ours;

    if (fd < 0 || tcgetattr(fd, &now) < 0)
        return;
    ours = raw_of(before, now.c_lflag & ISIG);
    ours.c_oflag = now.c_oflag; /* see terminal_begin_output */
    if (terminal_same_modes(&now, &ours) && !terminal_same_modes(&now, before))
        set(fd, TCSANOW, before);
}

bool terminal_enter(struct terminal *terminal)
{
    struct termios mode;

    if (!in_foreground(terminal) || (!terminal->raw && !take_lock(terminal))) {
        release_lock(terminal);
        return terminal->raw = false;
    }
    if ((terminal->raw && as_we_left_it(terminal)) || tcgetattr(terminal->fd, &terminal->saved) < 0)
        return terminal->raw;
    mode = raw_of(&terminal->saved, terminal->keep_signals);
    terminal->in_output = false;
    terminal->raw = set(terminal->fd, TCSADRAIN, &mode) == 0;
    if (tcgetattr(terminal->fd, &terminal->ours) < 0)
        terminal->ours = mode;
    return terminal->raw;
}

void terminal_leave(struct terminal *terminal)
{
    if (terminal->raw && !terminal_in_background(terminal) &&
        (!terminal->shared || as_we_left_it(terminal)))
        set(terminal->fd, TCSADRAIN, &terminal->saved);
    terminal->raw = terminal->in_output = false;
    release_lock(terminal);
}

/* Changes the modes that we have set, unless another program has changed them since. */
static bool change(struct terminal *terminal, const struct termios *mode)
{
    if (!as_we_left_it(terminal) || set(terminal->fd, TCSANOW, mode) < 0)
        return false;
    terminal->ours = *mode;
    return true;
}

void terminal_begin_output(struct terminal *terminal)
{
    struct termios mode = terminal->ours;

    if (!terminal->raw || terminal->in_output || terminal->keep_output || !(mode.c_oflag & OPOST))
        return;
    mode.c_oflag &= ~(tcflag_t)OPOST;
    terminal->in_output = change(terminal, &mode);
}

bool terminal_completes_lines(const struct terminal *terminal)
{
    return terminal->raw && !terminal->in_output && !terminal->keep_output &&
           terminal->ours.c_oflag == (OPOST | ONLCR);
}

void terminal_end_output(struct terminal *terminal)
{
    struct termios mode = terminal->ours;

    if (!terminal->raw || !terminal->in_output)
        return;
    mode.c_oflag |= OPOST;
    (void)change(terminal, &mode); /* a failure means that another program uses the terminal now */
    terminal->in_output = false;
}

void terminal_end_keys(struct terminal *terminal)
{
    struct termios mode = terminal->saved;

    if (!terminal->raw || terminal_in_background(terminal))
        return;
    mode.c_oflag = terminal->ours.c_oflag;
    (void)change(terminal, &mode);
}

bool terminal_used_by_another(const struct terminal *terminal)
{
    struct termios now;

    return terminal->raw && tcgetattr(terminal->fd, &now) == 0 &&
           !terminal_same_modes(&now, &terminal->ours) && !(now.c_lflag & ECHO);
}

void terminal_type(const struct terminal *terminal, const unsigned char *bytes, size_t size)
{
#ifdef TIOCSTI
    for (size_t i = 0; i < size; i++)
        if (ioctl(terminal->fd, TIOCSTI, bytes + i) < 0)
            return; /* Linux: needs a privilege if dev.tty.legacy_tiocsti is 0 */
#else
    (void)terminal, (void)bytes, (void)size;
#endif
}

bool terminal_is_named(const struct terminal *terminal, const char *path)
{
    struct stat named, own;

    return terminal->lock_fd >= 0 && fstat(terminal->lock_fd, &own) == 0 &&
           stat(path, &named) == 0 && S_ISCHR(named.st_mode) && named.st_rdev == own.st_rdev;
}

bool terminal_is_free(const struct terminal *terminal, struct termios *mode)
{
    return tcgetattr(terminal->fd, mode) == 0 &&
           (terminal_same_modes(mode, &terminal->first) ||
            ((mode->c_lflag & ICANON) && (mode->c_lflag & ECHO)));
}

bool terminal_adds_cr(int fd)
{
    struct termios mode;

    return tcgetattr(fd, &mode) == 0 && (mode.c_oflag & OPOST) && (mode.c_oflag & ONLCR);
}

bool terminal_rows_and_cols(const struct winsize *window, uint32_t *rows, uint32_t *cols)
{
    bool known = window->ws_row > 0 && window->ws_col > 0;

    *rows = known ? window->ws_row : 24;
    *cols = known ? window->ws_col : 80;
    return known;
}
