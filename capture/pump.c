/* The copy loop. Order for each piece of output: log, counters, caller. So what a person has seen
   is in the log, and a caller that reads slowly slows the command, as it would without us, and
   nothing else. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "shared.h"
#include "signals.h"

/* Bytes that a descriptor which polls writable takes without blocking: POSIX's least PIPE_BUF. */
#define SAFE_WRITE 512
/* Between SIGTERM and SIGKILL when the dashboard asks for a stop. */
#define STOP_GRACE_MS 30000
#define KILL_AGAIN_MS 1000
/* After the end, from a grandchild that goes on writing. */
#define DRAIN_BYTES_MAX ((size_t)1 << 20)
/* How often a run in the background looks whether it has come to the foreground: to one that was
 * not stopped no signal says so, and until then what is typed (a password) is shown. */
#define BACKGROUND_POLL_MS 100
/* How often one looks that shares the terminal. */
#define SHARED_POLL_MS 1000
/* So long after its last output, or a key, a command is likely to ask for keys or to give them up.
 */
#define ALERT_MS 1000
#define ALERT_POLL_MS 20
/* For so many questions the answer is that the terminal has gone. */
#define ENDS_OF_FILE 16

enum {
    POLL_SIGNALS,
    POLL_CHILD,
    POLL_CONTROL,
    POLL_KEYS,
    POLL_MASTER_OUT,
    POLL_FLOWS,
    POLL_COUNT = POLL_FLOWS + 6
};

/* ---- setting up ---- */

/* A description of our own for the caller's descriptor, so that it can be non-blocking without
 * changing the caller's. -1: not to be had. */
static int reopen(int fd)
{
    char path[64];
    struct stat info;

    if (fstat(fd, &info) < 0 || (!S_ISCHR(info.st_mode) && !S_ISFIFO(info.st_mode)))
        return -1;
#ifdef __linux__
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
#else
    if (!isatty(fd) || ttyname_r(fd, path, sizeof path) != 0)
        return -1;
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
#endif
}

static void flow_init(struct flow *flow, int from, int to, bool is_pipe)
{
    int ours = from >= 0 && to >= 0 ? reopen(to) : -1;

    flow->from = from;
    flow->to = ours >= 0 ? ours : to;
    flow->to_is_ours = ours >= 0;
    flow->is_pipe = is_pipe;
    flow->start = flow->end = 0;
}

void pump_init(struct pump *pump, const struct streams *streams)
{
    const struct child *child = pump->child;
    struct stat info;

    pump->pipeline = streams->plain && fstat(STDOUT_FILENO, &info) == 0 &&
                     (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
    flow_init(&pump->flows[0], child->master, streams->pty_out, false);
    flow_init(&pump->flows[1], child->out, STDOUT_FILENO, !child->out_is_pty);
    flow_init(&pump->flows[2], child->err, STDERR_FILENO, true);
}

void pump_free(struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        if (pump->flows[i].to_is_ours)
            close_fd(&pump->flows[i].to);
}

/* ---- output ---- */

static void log_failed(struct pump *pump, int problem)
{
    if (!pump->log_failed)
        helpers_problem(pump->helpers, "the log ends early: %s: %s",
                        pump->log->log_path ? pump->log->log_path : "no log", strerror(problem));
    pump->log_failed = true;
}

/* Bytes that came from the command, to the log, and what cannot be read there to the ring. */
static void record(struct pump *pump, const unsigned char *bytes, size_t size)
{
    size_t written = 0;

    run_log_mark(pump->log, pump->bytes, pump->rows, pump->cols, false);
    if (pump->log->log_fd >= 0) {
        if (run_log_append(pump->log, bytes, size, &written) < 0)
            log_failed(pump, errno);
        if (pump->log->apart)
            written = 0;
        pump->log_bytes += written;
    }
    if (pump->page) {
        if (written < size)
            status_ring_write(pump->page, pump->bytes + written, bytes + written, size - written);
        atomic_store(&pump->page->log_bytes, pump->log_bytes);
        atomic_store(&pump->page->output_ms, monotonic_ms());
        atomic_store(&pump->page->bytes, pump->bytes + size);
        helpers_poke(pump->helpers);
    }
    pump->bytes += size;
}

/* In the background, or where it is not our controlling one, the caller's terminal cannot be made
 * raw: it adds the CR that the command's terminal has added already. */
static bool adds_second_cr(const struct pump *pump, const struct flow *flow)
{
    return flow == &pump->flows[0] && flow->to >= 0 && !pump->terminal->raw &&
           !pump->terminal->keep_output && terminal_adds_cr(flow->to) &&
           terminal_adds_cr(pump->child->master);
}

/* Takes one CR from the front of each LF behind start; the last byte's is held until the next one
 * is known. */
static void drop_cr(struct flow *flow, size_t start)
{
    size_t to = start;

    for (size_t at = start; at < flow->end; at++) {
        if (flow->buffer[at] == '\r' && at + 1 == flow->end)
            flow->held_cr = true;
        else if (flow->buffer[at] != '\r' || flow->buffer[at + 1] != '\n')
            flow->buffer[to++] = flow->buffer[at];
    }
    flow->end = to;
}

static void give_held_cr(struct flow *flow)
{
    if (flow->held_cr && flow->end < PUMP_BUFFER)
        flow->buffer[flow->end++] = '\r';
    flow->held_cr = false;
}

/* What nobody will take must not stay in the buffer: the loop would wait for its being written. */
static void flow_discard(struct flow *flow)
{
    flow->start = flow->end = 0;
    flow->held_cr = false;
}

/* Takes out the end of a line that the caller's terminal has shown already, when it was typed. */
static void drop_echo(struct pump *pump, struct flow *flow, size_t start)
{
    unsigned char *lf = memchr(flow->buffer + start, '\n', flow->end - start), *from;

    if (!lf)
        return;
    from = lf > flow->buffer + start && lf[-1] == '\r' ? lf - 1 : lf;
    memmove(from, lf + 1, (size_t)(flow->buffer + flow->end - (lf + 1)));
    flow->end -= (size_t)(lf + 1 - from);
    pump->echo_comes = false;
}

/* Whether the command wants the keys of a terminal that is not ours alone (shared.h). Looked at
 * before its prompt is shown, so that nothing is typed in between. */
static void look_at_modes(struct pump *pump)
{
    if (pump->terminal_gone || pump->child->ended)
        return;
    if (!shared_asked_for(pump->child))
        terminal_leave(pump->terminal);
    else if (!pump->terminal->raw)
        terminal_enter(pump->terminal);
}

/* Reads once: what a pty has at one look the caller gets while the kernel brings the next. Returns
 * bytes read; at the end of the stream from becomes -1. */
static size_t flow_read(struct pump *pump, struct flow *flow)
{
    size_t start = flow->end, fresh;
    ssize_t n;

    give_held_cr(flow);
    fresh = flow->end;
    if (flow->from < 0 || flow->end == PUMP_BUFFER)
        return 0;
    do
        n = read(flow->from, flow->buffer + flow->end, PUMP_BUFFER - flow->end);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n <= 0) { /* a pty says EIO when its last writer is gone */
        flow->from = -1;
        return 0;
    }
    flow->end += (size_t)n;
    record(pump, flow->buffer + fresh, (size_t)n);
    if (pump->terminal->shared && flow == &pump->flows[0]) {
        pump->alert_ms = monotonic_ms() + ALERT_MS;
        look_at_modes(pump);
        if (pump->echo_comes)
            drop_echo(pump, flow, fresh);
    }
    if (adds_second_cr(pump, flow))
        drop_cr(flow, start);
    if (flow->to < 0)
        flow_discard(flow);
    return (size_t)n;
}

/* Nobody reads what this flow writes any more. */
static void flow_lost(struct pump *pump, struct flow *flow)
{
    int problem = errno;

    if (flow->to_is_ours)
        close_fd(&flow->to);
    flow->to = -1;
    flow_discard(flow);
    if (pump->nohup)
        return;
    if (flow->is_pipe) { /* as in any pipeline: the command's next write gets SIGPIPE */
        if (flow->from == pump->child->out)
            close_fd(&pump->child->out);
        else
            close_fd(&pump->child->err);
        flow->from = -1;
    } else if (problem != EIO && pump->pipeline) {
        child_signal(pump->child, SIGPIPE);
    }
}

/* Whether a failed write means that the other end has gone: of a pipe, a connection, a terminal. */
static bool reader_gone(int fd, int problem)
{
    struct stat info;

    if (problem == EPIPE || fstat(fd, &info) < 0)
        return true;
    return S_ISSOCK(info.st_mode) || (S_ISCHR(info.st_mode) && problem == EIO);
}

/* A write was refused. A full disk ends no command: its own writes would fail, one by one, and
 * succeed again when there is room. So this piece is lost, and the next one is tried. */
static void flow_failed(struct pump *pump, struct flow *flow)
{
    int problem = errno;

    if (reader_gone(flow->to, problem)) {
        errno = problem;
        flow_lost(pump, flow);
        return;
    }
    helpers_problem(pump->helpers, "the command's output is not all written: %s",
                    strerror(problem));
    if (flow != &pump->flows[2])
        pump->output_lost = true;
    flow_discard(flow);
}

static void flow_write(struct pump *pump, struct flow *flow)
{
    while (flow->start < flow->end) {
        size_t size = flow->end - flow->start;
        ssize_t n;

        if (!flow->to_is_ours && size > SAFE_WRITE) {
            struct stat info;

            if (fstat(flow->to, &info) < 0 || !S_ISREG(info.st_mode))
                size = SAFE_WRITE;
        }
        n = write(flow->to, flow->buffer + flow->start, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            flow_failed(pump, flow);
            return;
        }
        flow->start += (size_t)n;
        if (!flow->to_is_ours && flow->start < flow->end) {
            struct pollfd more = {.fd = flow->to, .events = POLLOUT};

            if (poll(&more, 1, 0) <= 0)
                return;
        }
    }
    flow->start = flow->end = 0;
}

/* ---- keys, window, terminal ---- */

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

static void terminal_hung_up(struct pump *pump)
{
    pump->terminal_gone = true;
    pump->terminal->raw = false;
    end_keys(pump);
    if (!pump->nohup)
        child_signal(pump->child, SIGHUP);
}

static void read_keys(struct pump *pump, bool hung_up)
{
    ssize_t n = read(pump->terminal->fd, pump->keys, sizeof pump->keys);

    if (n > 0) {
        pump->keys_start = 0;
        pump->keys_end = (size_t)n;
        pump->keys_echoed = false;
        pump->alert_ms = monotonic_ms() + ALERT_MS;
    } else if (hung_up) {
        terminal_hung_up(pump);
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        if (terminal_in_background(pump->terminal))
            pump->terminal->raw = false; /* it was taken from us: not ours to read or to restore */
        else
            terminal_hung_up(pump);
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

static void serve_keys(struct pump *pump, short events)
{
    if (events && pump->terminal->raw)
        read_keys(pump, events & POLLHUP);
    else if (events & POLLHUP)
        terminal_hung_up(pump);
    else if (events)
        pump->unclaimed_ms = monotonic_ms() + SHARED_UNCLAIMED_MS;
    else if (pump->unclaimed_ms && monotonic_ms() >= pump->unclaimed_ms)
        take_line(pump);
}

static void write_keys(struct pump *pump)
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

static void follow_window(struct pump *pump)
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

static void look_at_terminal(struct pump *pump)
{
    if (pump->terminal->shared)
        look_at_modes(pump);
    else
        terminal_enter(pump->terminal);
    follow_window(pump);
}

/* We may have come to the foreground. */
static void resume(struct pump *pump)
{
    if (pump->terminal->raw)
        terminal_enter(pump->terminal);
    look_at_terminal(pump);
}

/* The command has stopped: so do we, with the terminal given back, until someone continues us. */
static void suspend(struct pump *pump, int signal_number)
{
    bool by_terminal = signal_number != SIGSTOP;

    terminal_leave(pump->terminal);
    signals_stop_by(by_terminal ? SIGTSTP : SIGSTOP, by_terminal);
    resume(pump);
    child_signal(pump->child, SIGCONT);
}

/* ---- signals ---- */

static void reap(struct pump *pump)
{
    for (int i = 0; i < HELPER_COUNT; i++) {
        pid_t pid = pump->helpers->one[i].pid;
        int status;

        if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid)
            helpers_reaped(pump->helpers, pid, status);
    }
}

/* The keeper has something to tell of the command. */
static void hear_of_child(struct pump *pump)
{
    int stopped_by = child_event(pump->child);

    if (stopped_by)
        suspend(pump, stopped_by);
}

static void take_signal(struct pump *pump, int number)
{
    switch (number) {
    case SIGCHLD:
        return; /* looked at after every batch of signals */
    case SIGWINCH:
        follow_window(pump);
        return;
    case SIGCONT:
        resume(pump);
        return;
    case SIGHUP:
        if (pump->nohup)
            return;
        break;
    default:
        break;
    }
    if (pump->child->ended)
        pump->leave = true;
    else
        child_signal(pump->child, number);
}

static void read_signals(struct pump *pump)
{
    unsigned char numbers[64];
    ssize_t n;

    while ((n = read(pump->signals, numbers, sizeof numbers)) > 0)
        for (ssize_t i = 0; i < n; i++)
            take_signal(pump, numbers[i]);
    reap(pump);
}

/* The dashboard asked for the end: politely, then not. */
static void stop(struct pump *pump)
{
    if (!pump->helpers->stop_asked || pump->child->ended)
        return;
    if (pump->kill_ms == 0) {
        pump->kill_ms = monotonic_ms() + STOP_GRACE_MS;
        child_signal(pump->child, SIGTERM);
        child_signal(pump->child, SIGCONT); /* a stopped command cannot end */
    } else if (monotonic_ms() >= pump->kill_ms) {
        child_signal(pump->child, SIGKILL);
        pump->kill_ms += KILL_AGAIN_MS;
    }
}

/* ---- the loop ---- */

static bool keys_wanted(const struct pump *pump)
{
    return (pump->terminal->raw ||
            (pump->terminal->shared && !pump->unclaimed_ms && !pump->child->ended)) &&
           !pump->terminal_gone && pump->keys_start == pump->keys_end && pump->child->master >= 0;
}

static void fill_polls(const struct pump *pump, struct pollfd *polls)
{
    for (int i = 0; i < POLL_COUNT; i++)
        polls[i] = (struct pollfd){.fd = -1};
    polls[POLL_SIGNALS] = (struct pollfd){.fd = pump->signals, .events = POLLIN};
    polls[POLL_CHILD] =
        (struct pollfd){.fd = pump->child->ended ? -1 : pump->child->channel, .events = POLLIN};
    polls[POLL_CONTROL] = (struct pollfd){.fd = pump->helpers->control_read, .events = POLLIN};
    if (keys_wanted(pump))
        polls[POLL_KEYS] = (struct pollfd){.fd = pump->terminal->fd, .events = POLLIN};
    if (pump->keys_start < pump->keys_end)
        polls[POLL_MASTER_OUT] = (struct pollfd){.fd = pump->child->master, .events = POLLOUT};
    for (int i = 0; i < 3; i++) {
        const struct flow *flow = &pump->flows[i];

        if (flow->from >= 0 && flow->end < PUMP_BUFFER)
            polls[POLL_FLOWS + 2 * i] = (struct pollfd){.fd = flow->from, .events = POLLIN};
        if (flow->start < flow->end)
            polls[POLL_FLOWS + 2 * i + 1] = (struct pollfd){.fd = flow->to, .events = POLLOUT};
    }
}

/* Whether the terminal may become ours, or another's, without a signal that says so. */
static bool looks_often(const struct pump *pump)
{
    return pump->terminal->fd >= 0 && !pump->terminal_gone && !pump->child->ended &&
           (!pump->terminal->raw || pump->terminal->shared);
}

static int64_t look_pause(const struct pump *pump)
{
    if (monotonic_ms() < pump->alert_ms)
        return ALERT_POLL_MS;
    return pump->terminal->shared ? SHARED_POLL_MS : BACKGROUND_POLL_MS;
}

/* Of two times to wait; -1: for ever. */
static int64_t sooner(int64_t wait, int64_t left)
{
    left = left < 0 ? 0 : left;
    return wait < 0 || left < wait ? left : wait;
}

static int poll_timeout(struct pump *pump)
{
    int64_t wait = helpers_tick(pump->helpers);

    if (pump->child->ended)
        return (int)wait;
    if (pump->kill_ms)
        wait = sooner(wait, pump->kill_ms - monotonic_ms());
    if (looks_often(pump))
        wait = sooner(wait, look_pause(pump));
    if (pump->unclaimed_ms)
        wait = sooner(wait, pump->unclaimed_ms - monotonic_ms());
    return (int)wait;
}

static void serve_flows(struct pump *pump, const struct pollfd *polls)
{
    for (int i = 0; i < 3; i++) {
        struct flow *flow = &pump->flows[i];

        if (polls[POLL_FLOWS + 2 * i].revents)
            flow_read(pump, flow);
        if (flow->start < flow->end)
            flow_write(pump, flow);
    }
}

static void step(struct pump *pump)
{
    struct pollfd polls[POLL_COUNT];
    int timeout = poll_timeout(pump);

    fill_polls(pump, polls);
    if (poll(polls, POLL_COUNT, timeout) < 0)
        return; /* EINTR; ENOMEM passes */
    serve_flows(pump, polls);
    serve_keys(pump, polls[POLL_KEYS].revents);
    if (pump->keys_start < pump->keys_end)
        write_keys(pump);
    if (polls[POLL_CONTROL].revents)
        helpers_read_control(pump->helpers);
    if (polls[POLL_CHILD].revents)
        hear_of_child(pump);
    if (polls[POLL_SIGNALS].revents)
        read_signals(pump);
    else if (timeout >= 0 && looks_often(pump))
        look_at_terminal(pump);
    stop(pump);
}

static bool pending(const struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        if (pump->flows[i].start < pump->flows[i].end)
            return true;
    return false;
}

/* Takes what is there to be read now. */
static size_t read_rest(struct pump *pump, struct flow *flow)
{
    struct pollfd ready = {.fd = flow->from, .events = POLLIN};

    if (flow->from < 0 || flow->end == PUMP_BUFFER)
        return 0;
    /* poll also moves what the kernel still has on its way through the pty; only its "nothing" is
     * an answer: after a failure the read, which does not wait, says what is there */
    if (poll(&ready, 1, 0) == 0)
        return 0;
    return flow_read(pump, flow);
}

/* The command is gone: takes what it left in the pty and the pipes, without waiting for others who
 * may hold them open. It is over only when all is written and a look after that found nothing: a
 * buffer that was full at the look hides what is behind it. */
static void drain(struct pump *pump)
{
    size_t total = 0, got;

    do {
        for (int i = 0; i < 3; i++)
            flow_write(pump, &pump->flows[i]);
        got = 0;
        for (int i = 0; i < 3; i++)
            got += read_rest(pump, &pump->flows[i]);
        total += got;
        if (pending(pump))
            step(pump); /* the caller is slow: wait for it as the command would have */
        else if (got == 0)
            break;
    } while (total < DRAIN_BYTES_MAX && !pump->leave);
}

/* What has been read and not written, and nothing more. */
static void write_rest(struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        pump->flows[i].from = -1;
    give_held_cr(&pump->flows[0]);
    while (pending(pump) && !pump->leave)
        step(pump);
}

void pump_run(struct pump *pump)
{
    pump->alert_ms = pump->terminal->shared ? monotonic_ms() + ALERT_MS : 0;
    resume(pump);
    run_log_mark(pump->log, 0, pump->rows, pump->cols, true);
    while (!pump->child->ended)
        step(pump);
    drain(pump);
    write_rest(pump);
}

void pump_wait_delivery(struct pump *pump, int64_t deadline_ms)
{
    while (helpers_running(pump->helpers) && !pump->leave) {
        struct pollfd polls[2] = {{.fd = pump->signals, .events = POLLIN},
                                  {.fd = pump->helpers->control_read, .events = POLLIN}};
        int64_t left = deadline_ms - monotonic_ms(), tick = helpers_tick(pump->helpers);

        if (left <= 0)
            return;
        if (poll(polls, 2, (int)(tick >= 0 && tick < left ? tick : left)) < 0 && errno != EINTR)
            return;
        if (polls[1].revents)
            helpers_read_control(pump->helpers);
        read_signals(pump);
    }
    helpers_read_control(pump->helpers);
}
