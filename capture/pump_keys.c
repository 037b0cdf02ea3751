/* What comes from the caller's terminal: keys, its window, its hangup; and whose it is. */
#include "pump_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "shared.h"
#include "signals.h"

/* How often a run in the background looks whether it has come to the foreground: to one that was
 * not stopped no signal says so, and until then what is typed (a password) is shown. */
#define BACKGROUND_POLL_MS 100
/* How often one looks that shares the terminal. */
#define SHARED_POLL_MS 1000
#define ALERT_POLL_MS 20
/* For so many questions the answer is that the terminal has gone. */
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

/* A command that outlives its terminal finds the end of file when it asks something, as it would at
 * the terminal itself: else it would wait for ever. */
static void end_keys(struct pump *pump)
{
    struct termios mode;
    size_t room = sizeof pump->keys - pump->keys_end;

    if (pump->child->master < 0 || tcgetattr(pump->child->master, &mode) < 0 ||
        !(mode.c_lflag & ICANON) || mode.c_cc[VEOF] == _POSIX_VDISABLE)
        return;
    room = room < ENDS_OF_FILE ? room : ENDS_OF_FILE;
    memset(pump->keys + pump->keys_end, mode.c_cc[VEOF], room);
    pump->keys_end += room;
    pump->keys_echoed = false;
}

static void hung_up(struct pump *pump)
{
    pump->terminal_gone = true;
    pump->terminal->raw = false;
    end_keys(pump);
    if (!pump->nohup)
        child_signal(pump->child, SIGHUP);
}

static void read_keys(struct pump *pump, bool has_hung_up)
{
    ssize_t n = read(pump->terminal->fd, pump->keys, sizeof pump->keys);

    if (n > 0) {
        pump->keys_start = 0;
        pump->keys_end = (size_t)n;
        pump->keys_echoed = false;
        pump->alert_ms = monotonic_ms() + ALERT_MS;
    } else if (has_hung_up) {
        hung_up(pump);
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        if (terminal_in_background(pump->terminal))
            pump->terminal->raw = false; /* it was taken from us: not ours to read or to restore */
        else
            hung_up(pump);
    }
}

/* Something was typed at a terminal that others read as well: it is theirs if they take it. */
static void take_line(struct pump *pump)
{
    struct termios mode;

    if (pump->keys_start < pump->keys_end)
        return; /* one after the other */
    pump->unclaimed_ms = 0;
    if (pump->terminal->raw || pump->terminal_gone || pump->child->ended)
        return;
    if (terminal_in_background(pump->terminal) || !terminal_is_free(pump->terminal, &mode)) {
        pump->unclaimed_ms = monotonic_ms() + SHARED_POLL_MS;
        return;
    }
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
    else if (events)
        pump->unclaimed_ms = monotonic_ms() + SHARED_UNCLAIMED_MS;
    else if (pump->unclaimed_ms && monotonic_ms() >= pump->unclaimed_ms)
        take_line(pump);
}

void keys_write(struct pump *pump)
{
    const unsigned char *keys = pump->keys + pump->keys_start;
    size_t size = pump->keys_end - pump->keys_start;
    ssize_t n = pump->keys_echoed ? shared_give_line(pump->child, keys, size, &pump->echo_comes)
                                  : write(pump->child->master, keys, size);

    if (n > 0)
        pump->keys_start += (size_t)n;
    else if (n < 0 && errno != EINTR && errno != EAGAIN)
        pump->keys_start = pump->keys_end; /* the command is gone: so are its keys */
    if (pump->keys_start == pump->keys_end)
        pump->keys_start = pump->keys_end = 0;
}

void keys_follow_window(struct pump *pump)
{
    uint32_t rows, cols;

    if (pump->terminal->fd < 0 || !terminal_size(pump->terminal->fd, &rows, &cols))
        return;
    if (rows == pump->rows && cols == pump->cols)
        return;
    pump->rows = rows;
    pump->cols = cols;
    child_resize(pump->child, rows, cols);
    run_log_mark(pump->log, pump->bytes, rows, cols, true);
    if (pump->page) {
        atomic_store(&pump->page->rows, rows);
        atomic_store(&pump->page->cols, cols);
    }
}

void keys_look_at_terminal(struct pump *pump)
{
    if (pump->terminal->shared)
        keys_look_at_modes(pump);
    else
        terminal_enter(pump->terminal);
    keys_follow_window(pump);
}

void keys_resume(struct pump *pump)
{
    if (pump->terminal->raw)
        terminal_enter(pump->terminal);
    keys_look_at_terminal(pump);
}

void keys_suspend(struct pump *pump, int signal_number)
{
    bool by_terminal = signal_number != SIGSTOP;

    terminal_leave(pump->terminal);
    signals_stop_by(by_terminal ? SIGTSTP : SIGSTOP, by_terminal);
    keys_resume(pump);
    child_signal(pump->child, SIGCONT);
}

bool keys_wanted(const struct pump *pump)
{
    return (pump->terminal->raw ||
            (pump->terminal->shared && !pump->unclaimed_ms && !pump->child->ended)) &&
           !pump->terminal_gone && pump->keys_start == pump->keys_end && pump->child->master >= 0;
}

bool keys_look_often(const struct pump *pump)
{
    return pump->terminal->fd >= 0 && !pump->terminal_gone && !pump->child->ended &&
           (!pump->terminal->raw || pump->terminal->shared);
}

int64_t keys_look_pause(const struct pump *pump)
{
    if (monotonic_ms() < pump->alert_ms)
        return ALERT_POLL_MS;
    return pump->terminal->shared ? SHARED_POLL_MS : BACKGROUND_POLL_MS;
}
