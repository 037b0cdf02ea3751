/* Output: from the command to the log, and then to the caller. */
#include "pump_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "shared.h"

/* The most that a person can read at a glance; a pty returns up to 4 KiB if more is waiting. */
#define FEW_BYTES ((size_t)3072)

/* A flood goes from pipe to pipe without a copy: bytes that wait in the pipe of the command are
   logged, and then moved to the pipe of the caller. This moves whole pages, even nearly empty
   ones, and a pipe holds only 16 pages. Less output is copied, which fills the pages: if a caller
   does not read yet, the command can write as much and end as without nixfleet-run. */
#define FLOOD_BYTES (PUMP_BUFFER / 2)
#define FLOOD_FROM ((uint64_t)1 << 20)

void flow_init(struct flow *flow, int from, int to, bool is_pipe)
{
    flow->from = from;
    sink_open(&flow->to, from >= 0 ? to : -1);
    flow->is_pipe = is_pipe;
    flow->flood = flow->wide = false;
    flow->bytes = 0;
    flow->start = flow->end = flow->ahead = 0;
}

void pump_record(struct pump *pump, const void *bytes, size_t size)
{
    run_log_append(pump->log, bytes, size);
    helpers_wake(pump->helpers);
    pump->bytes += size;
}

/* The caller's terminal cannot be made raw in the background, or if it is not our controlling
 * terminal. It then adds a CR that the command's terminal has added already. */
static bool adds_second_cr(const struct pump *pump, const struct flow *flow)
{
    return flow == &pump->flows[0] && flow->to.fd >= 0 && !pump->terminal->raw &&
           !pump->terminal->keep_output && terminal_adds_cr(flow->to.fd) &&
           terminal_adds_cr(pump->child->master);
}

/* Removes one CR before each LF behind start. If the last byte is a CR, holds it until the next
 * byte is known. */
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

bool flow_pending(const struct flow *flow)
{
    return flow->start < flow->end || flow->ahead > 0;
}

bool flow_has_space(const struct flow *flow)
{
    return flow->from >= 0 && flow->end < PUMP_BUFFER && flow->ahead == 0;
}

bool flow_may_read(const struct pump *pump, const struct flow *flow)
{
    return flow_has_space(flow) && !flow->short_ends &&
           (pump->state == PUMP_RUNNING || flow->left > 0);
}

void pump_print(struct pump *pump, const char *text)
{
    struct flow *flow = pump->errors;
    size_t space = flow ? PUMP_BUFFER - flow->end : 0;
    int length;

    if (!flow || flow->to.fd < 0 || flow->short_ends)
        return;
    length = snprintf((char *)flow->buffer + flow->end, space, "nixfleet-run: %s%s\n", text,
                      flow == &pump->flows[0] ? "\r" : "");
    if (length > 0 && (size_t)length < space)
        flow->end += (size_t)length;
}

void flow_give_held_cr(struct flow *flow)
{
    if (!flow->held_cr || flow->end == PUMP_BUFFER)
        return;
    flow->buffer[flow->end++] = '\r';
    flow->held_cr = false;
}

/* Reads the logged bytes in the pipe of the command into the buffer. */
static void take_ahead(struct flow *flow)
{
    size_t space = PUMP_BUFFER - flow->end;
    ssize_t n =
        read(flow->from, flow->buffer + flow->end, flow->ahead < space ? flow->ahead : space);

    flow->end += n > 0 ? (size_t)n : 0;
    flow->ahead -= n > 0 ? (size_t)n : flow->ahead; /* another process has read them */
}

/* Drops bytes that can no longer be written; otherwise poll would report POLLOUT for ever. */
static void flow_discard(struct flow *flow)
{
    do {
        flow->start = flow->end = 0;
        if (flow->ahead > 0)
            take_ahead(flow);
    } while (flow->end > 0);
    flow->held_cr = flow->short_ends = false;
}

/* Removes the end of a line that the caller's terminal has shown already when it was typed. */
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

static void look_for_flood(struct flow *flow, size_t n)
{
    flow->flood = n >= FLOOD_BYTES && flow->bytes > FLOOD_FROM;
    if (!flow->flood || flow->wide || !flow->is_pipe || !flow->to.pipe)
        return;
    flow->wide = true;
    sink_widen(&flow->to, flow->from);
}

static void count_read(struct pump *pump, struct flow *flow, const void *bytes, size_t n)
{
    flow->left -= n < flow->left ? n : flow->left;
    flow->bytes += n;
    look_for_flood(flow, n);
    pump_record(pump, bytes, n);
}

static bool can_move(const struct pump *pump, const struct flow *flow)
{
    return flow->flood && flow->is_pipe && flow->to.pipe && flow->to.fd >= 0 && flow->end == 0 &&
           pump->state == PUMP_RUNNING;
}

/* Logs what waits in the command's pipe. 0: it has to be read. */
static size_t look_ahead(struct pump *pump, struct flow *flow)
{
    size_t n = sink_peek(&flow->to, flow->from, flow->buffer, PUMP_BUFFER);

    if (n == 0)
        return 0;
    count_read(pump, flow, flow->buffer, n);
    flow->ahead = n;
    return n;
}

/* The CR at the end of the buffer is held again, because no byte has followed it yet. */
static void hold_again(struct flow *flow, size_t start)
{
    if (flow->end > start) {
        flow->end = start;
        flow->held_cr = true;
    }
}

size_t flow_read(struct pump *pump, struct flow *flow)
{
    size_t start = flow->end, fresh;
    ssize_t n;

    flow_give_held_cr(flow);
    fresh = flow->end;
    if (!flow_has_space(flow)) {
        hold_again(flow, start);
        return 0;
    }
    if (can_move(pump, flow) && (fresh = look_ahead(pump, flow)) > 0)
        return fresh;
    do
        n = read(flow->from, flow->buffer + flow->end, PUMP_BUFFER - flow->end);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        hold_again(flow, start);
        return 0;
    }
    if (n <= 0) { /* a pty returns EIO when its last writer is gone */
        flow->from = -1;
        return 0;
    }
    flow->end += (size_t)n;
    count_read(pump, flow, flow->buffer + fresh, (size_t)n);
    if (pump->terminal->shared && flow == &pump->flows[0]) {
        pump->alert_ms = monotonic_ms() + ALERT_MS;
        keys_look_at_modes(pump);
        if (pump->echo_comes)
            drop_echo(pump, flow, fresh);
    }
    if (adds_second_cr(pump, flow))
        drop_cr(flow, start);
    if (flow->to.fd < 0)
        flow_discard(flow);
    return (size_t)n;
}

/* The reader of this flow's output is gone. */
static void flow_lost(struct pump *pump, struct flow *flow)
{
    int problem = errno;

    sink_close(&flow->to);
    flow_discard(flow);
    if (pump->nohup)
        return;
    if (flow->from < 0)
        return;
    if (flow->is_pipe) { /* as in any pipeline, the next write of the command gets SIGPIPE */
        if (flow->from == pump->child->out)
            close_fd(&pump->child->out);
        else
            close_fd(&pump->child->err);
        flow->from = -1;
    } else if (pump->left_behind) { /* the next write of the other processes fails */
        close_fd(&flow->from);
    } else if (problem != EIO && pump->pipeline) {
        child_signal(pump->child, SIGPIPE);
    }
}

/* Whether a failed write means that the other end of a pipe, connection or terminal is gone. */
static bool reader_gone(int fd, int problem)
{
    struct stat info;

    if (problem == EPIPE || fstat(fd, &info) < 0)
        return true;
    return S_ISSOCK(info.st_mode) || (S_ISCHR(info.st_mode) && problem == EIO);
}

/* A write failed. A full disk does not end a command: each write of the command would fail until
 * there is space again. So this piece is lost, and the next one is tried. */
static void flow_failed(struct pump *pump, struct flow *flow)
{
    int problem = errno;

    if (reader_gone(flow->to.fd, problem)) {
        errno = problem;
        flow_lost(pump, flow);
        return;
    }
    helpers_problem(pump->helpers, "not all output of the command could be written: %s",
                    strerror(problem));
    if (flow != &pump->flows[2])
        pump->output_lost = true;
    flow_discard(flow);
}

/* Turns each CR LF of the waiting bytes into LF. Returns false, and changes nothing, if there is an
 * LF without CR. */
static bool shorten_ends(struct flow *flow)
{
    unsigned char *bytes = flow->buffer;
    size_t to = flow->start;

    for (size_t i = flow->start; i < flow->end; i++)
        if (bytes[i] == '\n' && (i == flow->start || bytes[i - 1] != '\r'))
            return false;
    for (size_t i = flow->start; i < flow->end; i++)
        if (bytes[i] != '\r' || i + 1 == flow->end || bytes[i + 1] != '\n')
            bytes[to++] = bytes[i];
    flow->end = to;
    return true;
}

/* The command's terminal has processed the output, and the caller's terminal must show it as it is.
   A few lines are written with LF only, because the caller's terminal adds the CR. For much output,
   and for output of full-screen programs, the output processing of the caller's terminal is
   switched off; other programs that write at this moment could notice that. */
static void prepare_terminal(struct pump *pump, struct flow *flow)
{
    if (flow != &pump->flows[0] || !flow_pending(flow) || flow->short_ends)
        return;
    if (flow->end - flow->start < FEW_BYTES && terminal_completes_lines(pump->terminal))
        flow->short_ends = shorten_ends(flow);
    if (!flow->short_ends)
        terminal_begin_output(pump->terminal);
}

/* Moves bytes that are logged and still in the command's pipe to the caller. Returns as sink_write.
 * If the bytes cannot be moved, they are read into the buffer instead. */
static ssize_t move_ahead(struct flow *flow)
{
    ssize_t n = sink_move(&flow->to, flow->from, flow->ahead);
    int waiting;

    if (n > 0) {
        flow->ahead -= (size_t)n;
    } else if (n == 0 ||
               (errno == EAGAIN && ioctl(flow->from, FIONREAD, &waiting) == 0 && waiting == 0)) {
        flow->ahead = 0; /* another process has read from the command's pipe */
    } else if (errno != EAGAIN && errno != EINTR && errno != EPIPE) {
        flow->to.pipe = false;
        take_ahead(flow);
        errno = EINTR;
    }
    return n;
}

/* Writes what comes next. As sink_write. */
static ssize_t write_next(struct flow *flow)
{
    ssize_t n;

    if (flow->ahead > 0)
        return move_ahead(flow);
    n = sink_write(&flow->to, flow->buffer + flow->start, flow->end - flow->start);
    flow->start += n > 0 ? (size_t)n : 0;
    return n;
}

void flow_write(struct pump *pump, struct flow *flow)
{
    prepare_terminal(pump, flow);
    while (flow_pending(flow)) {
        ssize_t n = write_next(flow);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            flow_failed(pump, flow);
            return;
        }
        if (pump->give_up_ms)
            pump->give_up_ms = monotonic_ms() + GIVE_UP_MS;
    }
    flow->start = flow->end = 0;
    flow->short_ends = false;
}
