/* The copy loop. Order for each piece of output: log, counters, caller. So what a person has seen
   is in the log, and a caller that reads slowly slows the command, as it would without us, and
   nothing else. */
#include "pump_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "signals.h"

/* Between SIGTERM and SIGKILL when the dashboard asks for a stop. */
#define STOP_GRACE_MS 30000
#define KILL_AGAIN_MS 1000
/* After the end, from a grandchild that goes on writing. */
#define DRAIN_BYTES_MAX ((size_t)1 << 20)

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
        keys_suspend(pump, stopped_by);
}

static void take_signal(struct pump *pump, int number)
{
    switch (number) {
    case SIGCHLD:
        return; /* looked at after every batch of signals */
    case SIGWINCH:
        keys_follow_window(pump);
        return;
    case SIGCONT:
        keys_resume(pump);
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
    if (keys_look_often(pump))
        wait = sooner(wait, keys_look_pause(pump));
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
    keys_serve(pump, polls[POLL_KEYS].revents);
    if (pump->keys_start < pump->keys_end)
        keys_write(pump);
    if (polls[POLL_CONTROL].revents)
        helpers_read_control(pump->helpers);
    if (polls[POLL_CHILD].revents)
        hear_of_child(pump);
    if (polls[POLL_SIGNALS].revents)
        read_signals(pump);
    else if (timeout >= 0 && keys_look_often(pump))
        keys_look_at_terminal(pump);
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
    flow_give_held_cr(&pump->flows[0]);
    while (pending(pump) && !pump->leave)
        step(pump);
}

void pump_run(struct pump *pump)
{
    pump->alert_ms = pump->terminal->shared ? monotonic_ms() + ALERT_MS : 0;
    keys_resume(pump);
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
