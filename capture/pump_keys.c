/* What comes from the caller's terminal: keys, window size, hangup, and which process group is in
 * the foreground. */
#include "pump_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/system.h"
#include "shared.h"
#include "signals.h"

/* How often a run in the background checks whether it is in the foreground now. A run that was not
 * stopped gets no signal about this. Until the run knows, typed text (a password) is shown. */
#define BACKGROUND_POLL_MS 100
/* The same for a run that shares the terminal. */
#define SHARED_POLL_MS 1000
#define ALERT_POLL_MS 20
/* The pause while another program reads from a terminal that we have made raw. */
#define OTHERS_POLL_MS 100
/* After a key that can end the caller: the time for the caller to end, and for the next program to
 * use the terminal. */
#define PAUSE_MS 50
/* The longest such time, for a caller that gets no processor. */
#define PAUSE_MOST_MS 500
/* After the terminal is gone, this many reads of the command get an end of file. */
#define ENDS_OF_FILE 16

void keys_look_at_modes(struct pump *pump)
{
    if (pump->terminal_gone || pump->child->ended)
        return;
    if (!shared_asked_for(pump->child))
        terminal_leave(pump->terminal);
    else if (!pump->terminal->raw)
        terminal_enter(pump->terminal);
}

/* A command that outlives its terminal gets an end of file when it reads, as at the terminal
 * itself. Otherwise it would wait for ever. */
static void end_keys(struct pump *pump)
{
    struct termios mode;
    size_t space = sizeof pump->keys - pump->keys_end;

    if (pump->child->master < 0 || tcgetattr(pump->child->master, &mode) < 0 ||
        !(mode.c_lflag & ICANON) || mode.c_cc[VEOF] == _POSIX_VDISABLE)
        return;
    space = space < ENDS_OF_FILE ? space : ENDS_OF_FILE;
    memset(pump->keys + pump->keys_end, mode.c_cc[VEOF], space);
    pump->keys_end += space;
    pump->keys_echoed = false;
}

/* Sends no SIGHUP itself: if the command must know, the kernel or the shell sends a SIGHUP. */
static void hung_up(struct pump *pump)
{
    pump->terminal_gone = true;
    pump->terminal->raw = false;
    end_keys(pump);
}

static void read_keys(struct pump *pump, bool has_hung_up)
{
    ssize_t n;

    if (!has_hung_up && terminal_used_by_another(pump->terminal)) {
        /* the input may be a passphrase for the other program */
        pump->pause_ms = monotonic_ms() + OTHERS_POLL_MS;
        return;
    }
    n = read(pump->terminal->fd, pump->keys, sizeof pump->keys);

    if (n > 0) {
        pump->keys_start = 0;
        pump->keys_end = (size_t)n;
        pump->keys_echoed = false;
        pump->alert_ms = monotonic_ms() + ALERT_MS;
    } else if (has_hung_up) {
        hung_up(pump);
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        if (terminal_in_background(pump->terminal))
            /* the terminal belongs to another process now: we must neither read nor restore it */
            pump->terminal->raw = false;
        else
            hung_up(pump);
    }
}

/* Takes a line that was typed at a terminal that other programs read, too. If another program
 * reads, the line is for that program. */
static void take_line(struct pump *pump)
{
    struct termios mode;

    if (pump->keys_start < pump->keys_end)
        return; /* the previous line is not written yet */
    pump->unclaimed_ms = 0;
    if (pump->terminal->raw || pump->terminal_gone || pump->child->ended)
        return;
    if (terminal_in_background(pump->terminal) || !terminal_is_free(pump->terminal, &mode)) {
        pump->unclaimed_ms = monotonic_ms() + SHARED_POLL_MS;
        return;
    }
    if (!(mode.c_lflag & ICANON) && !pump->unclaimed_key) {
        pump->unclaimed_key = true;
        pump->unclaimed_ms = monotonic_ms() + SHARED_UNCLAIMED_KEY_MS;
        return;
    }
    pump->unclaimed_key = false;
    pump->keys_start = 0;
    pump->keys_end = shared_take_line(pump->terminal, &mode, pump->keys, sizeof pump->keys);
    pump->keys_echoed = (mode.c_lflag & ECHO) != 0;
}

void keys_serve(struct pump *pump, short events)
{
    if (events && pump->terminal->raw)
        read_keys(pump, events & POLLHUP);
    else if (events & POLLHUP)
        hung_up(pump);
    else if (events) {
        pump->unclaimed_ms = monotonic_ms() + SHARED_UNCLAIMED_MS;
        pump->unclaimed_key = false;
    } else if (pump->unclaimed_ms && monotonic_ms() >= pump->unclaimed_ms)
        take_line(pump);
}

/* The signal that the command's terminal sends for this key; 0: none. */
static int signal_of_key(const struct termios *mode, unsigned char key)
{
    if (!(mode->c_lflag & ISIG) || key == _POSIX_VDISABLE)
        return 0;
    return key == mode->c_cc[VINTR] ? SIGINT : key == mode->c_cc[VQUIT] ? SIGQUIT : 0;
}

/* How many keys can be written at once: up to the first one that sends a signal, which is stored in
 * *number. */
static size_t keys_until_signal(struct pump *pump, const struct termios *mode, int *number)
{
    bool quotes = (mode->c_lflag & ICANON) && (mode->c_lflag & IEXTEN) &&
                  mode->c_cc[VLNEXT] != _POSIX_VDISABLE;
    size_t size = pump->keys_end - pump->keys_start;

    *number = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char key = pump->keys[pump->keys_start + i];

        if (pump->keys_literal)
            pump->keys_literal = false;
        else if (quotes && key == mode->c_cc[VLNEXT])
            pump->keys_literal = true;
        else if ((*number = signal_of_key(mode, key)))
            return i + 1;
    }
    return size;
}

/* If the caller ends because of the signal, the next program must not find a raw terminal. */
static void signal_callers(struct pump *pump, int number)
{
    pump->end_asked = true;
    if (pump->terminal->raw) {
        terminal_leave(pump->terminal);
        pump->pause_ms = monotonic_ms() + PAUSE_MS;
        pump->callers_signal = number;
        pump->callers_ms = monotonic_ms() + PAUSE_MOST_MS;
    }
    kill(0, number);
}

/* Ctrl-C and Ctrl-\ are meant for the whole foreground group of the caller's terminal, also for the
   script, make or xargs that has started us. In a raw terminal they are only bytes. So if the
   command's terminal turns the key into a signal, for the processes in our place there, our process
   group gets the same signal at the same moment. */
static ssize_t write_keys(struct pump *pump)
{
    bool literal = pump->keys_literal;
    pid_t foreground = tcgetpgrp(pump->child->master);
    size_t size = pump->keys_end - pump->keys_start;
    struct termios mode;
    int number = 0;
    ssize_t n;

    if (!pump->terminal->keep_signals && tcgetattr(pump->child->master, &mode) == 0)
        size = keys_until_signal(pump, &mode, &number);
    n = write(pump->child->master, pump->keys + pump->keys_start, size);
    if (n != (ssize_t)size)
        pump->keys_literal = literal && n <= 0; /* the rest is examined again */
    else if (number && foreground == pump->child->group && pump->state == PUMP_RUNNING)
        signal_callers(pump, number);
    return n;
}

void keys_write(struct pump *pump)
{
    const unsigned char *keys = pump->keys + pump->keys_start;
    size_t size = pump->keys_end - pump->keys_start;
    ssize_t n = pump->keys_echoed ? shared_give_line(pump->child, keys, size, &pump->echo_comes)
                                  : write_keys(pump);

    if (n > 0)
        pump->keys_start += (size_t)n;
    else if (n < 0 && errno != EINTR && errno != EAGAIN)
        pump->keys_start = pump->keys_end; /* the command is gone, and so are its keys */
    if (pump->keys_start == pump->keys_end)
        pump->keys_start = pump->keys_end = 0;
}

bool keys_follow_window(struct pump *pump)
{
    struct winsize window;

    if (pump->terminal->fd < 0 || ioctl(pump->terminal->fd, TIOCGWINSZ, &window) < 0 ||
        memcmp(&window, &pump->window, sizeof window) == 0)
        return false;
    pump->window = window;
    child_resize(pump->child, &window);
    terminal_rows_and_cols(&window, &pump->rows, &pump->cols);
    run_log_resize(pump->log, pump->rows, pump->cols);
    return true;
}

/* Whether the signal of a key has not reached our parent process yet, which may end because of it.
 */
static bool caller_has_yet_to_end(struct pump *pump)
{
    if (!pump->callers_signal)
        return false;
    if (monotonic_ms() < pump->callers_ms && process_has_pending(getppid(), pump->callers_signal)) {
        pump->pause_ms = monotonic_ms() + PAUSE_MS;
        return true;
    }
    pump->callers_signal = 0;
    return false;
}

void keys_look_at_terminal(struct pump *pump)
{
    if (caller_has_yet_to_end(pump))
        return;
    if (pump->terminal->shared)
        keys_look_at_modes(pump);
    else
        terminal_enter(pump->terminal);
    keys_follow_window(pump);
}

void keys_resume(struct pump *pump)
{
    if (pump->state != PUMP_RUNNING)
        return;
    if (pump->terminal->raw)
        terminal_enter(pump->terminal);
    keys_look_at_terminal(pump);
}

/* Reads the input that waits in the command's terminal, also an incomplete line. */
static size_t take_unread(const struct child *child, unsigned char *bytes, size_t size)
{
#ifdef TIOCGPTPEER
    int fd = ioctl(child->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct termios mode;
    ssize_t n = 0;

    if (fd >= 0 && tcgetattr(fd, &mode) == 0) {
        mode.c_lflag &= ~(tcflag_t)ICANON;
        mode.c_cc[VMIN] = mode.c_cc[VTIME] = 0;
        if (tcsetattr(fd, TCSANOW, &mode) == 0)
            n = read(fd, bytes, size);
    }
    close_fd(&fd);
    return n > 0 ? (size_t)n : 0;
#else
    (void)child, (void)bytes, (void)size;
    return 0;
#endif
}

void keys_end(struct pump *pump)
{
    struct terminal *terminal = pump->terminal;
    unsigned char unread[4096];
    size_t size = 0;

    if (!terminal->raw || terminal_in_background(terminal) || pump->child->master < 0)
        return;
    if (!terminal->shared && !pump->keys_echoed) {
        size = take_unread(pump->child, unread, sizeof unread);
        for (size_t i = 0; i < size; i++)
            if (unread[i] == '\0') /* the kernel stores a typed end of file as a NUL */
                unread[i] = terminal->saved.c_cc[VEOF];
        terminal_type(terminal, unread, size);
        terminal_type(terminal, pump->keys + pump->keys_start, pump->keys_end - pump->keys_start);
        pump->keys_start = pump->keys_end = 0;
    }
    terminal_end_keys(terminal);
}

void keys_stop(struct pump *pump, int signal_number, bool own_group)
{
    terminal_leave(pump->terminal);
    signals_stop_by(signal_number, own_group);
    keys_resume(pump);
}

void keys_suspend(struct pump *pump, int signal_number)
{
    bool by_terminal = signal_number != SIGSTOP;

    keys_stop(pump, by_terminal ? SIGTSTP : SIGSTOP, by_terminal && pump->child->session);
    if (!signals_waits(SIGCONT)) /* the kernel does not stop orphans: nobody would continue us */
        child_signal(pump->child, SIGCONT);
}

bool keys_wanted(const struct pump *pump)
{
    if (pump->state != PUMP_RUNNING || monotonic_ms() < pump->pause_ms)
        return false;
    return (pump->terminal->raw ||
            (pump->terminal->shared && !pump->unclaimed_ms && !pump->child->ended)) &&
           !pump->terminal_gone && pump->keys_start == pump->keys_end && pump->child->master >= 0;
}

bool keys_look_often(const struct pump *pump)
{
    return pump->terminal->fd >= 0 && !pump->terminal_gone && !pump->child->ended &&
           (!pump->terminal->raw || pump->terminal->shared) && monotonic_ms() >= pump->pause_ms;
}

int64_t keys_look_pause(const struct pump *pump)
{
    int64_t now = monotonic_ms();

    if (now < pump->pause_ms)
        return pump->pause_ms - now;
    if (now < pump->alert_ms)
        return ALERT_POLL_MS;
    return pump->terminal->shared ? SHARED_POLL_MS : BACKGROUND_POLL_MS;
}
