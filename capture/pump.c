/* The copy loop. Each piece of output goes to the log, the counters and the caller, in this order.
   So what a person has seen is in the log. A caller that reads slowly slows down the command, as it
   would without us, and nothing else. */
#include "pump_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/system.h"
#include "signals.h"

/* The time between SIGTERM and SIGKILL when the dashboard asks to stop the command. */
#define STOP_GRACE_MS 30000
#define KILL_AGAIN_MS 1000
/* For a command of another user: the time between the interrupt key and the hangup. */
#define HANGUP_GRACE_MS 10000
/* How long a service manager's signal to us is held until the monitor may report that the manager
 * has signalled each process of the service; and how much earlier that report may have come. */
#define HELD_MS 100
#define HELD_BEFORE_MS 1000
#define STOP_TOLD_MS 1500 /* the time until a line says that the command has not ended */
/* The most that a pty can hold (Linux: 8 KiB in each direction, and 4 KiB that are ready). */
#define PTY_HOLDS ((size_t)64 * 1024)

enum {
    POLL_SIGNALS,
    POLL_CHILD,
    POLL_CONTROL,
    POLL_KEYS,
    POLL_MASTER_OUT,
    POLL_FLOWS,
    POLL_LOG = POLL_FLOWS + 6, /* last: usually left out, as poll(2) counts entries against the
                                  limit on descriptors */
    POLL_COUNT
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
        sink_close(&pump->flows[i].to);
}

/* ---- stopping the command when somebody asks ---- */

/* Also writes the line to the log, because the person who asked on the dashboard's page sees only
 * the log. */
static void report_stop(struct pump *pump, const char *text)
{
    char line[256];
    int length = snprintf(line, sizeof line, "\r\n[nixfleet-run: %s]\r\n", text);

    pump_print(pump, text);
    pump_record(pump, line, (size_t)length);
}

static void hang_up(struct pump *pump)
{
    if (pump->stop == STOP_HUNG_UP)
        return;
    pump->stop = STOP_HUNG_UP;
    pump->kill_ms = monotonic_ms() + STOP_TOLD_MS;
    child_hang_up(pump->child);
}

/* The command belongs to root (sudo) or another user, so our signals do not reach it. The keys and
 * the hangup of its terminal do. */
static void stop_another_users(struct pump *pump)
{
    if (pump->stop != STOP_BY_SIGNAL) { /* a stop was asked for before */
        if (pump->child->session)
            hang_up(pump);
        return;
    }
    pump->stop = STOP_INTERRUPTED;
    pump->kill_ms = 0;
    if (child_signal(pump->child, SIGINT) && pump->child->session)
        pump->kill_ms = monotonic_ms() + STOP_TOLD_MS;
    else
        report_stop(pump, "the command belongs to another user and has no terminal: "
                          "it cannot be stopped from here");
}

/* The command continues although its terminal has interrupted it or hung up. */
static void go_on_with_another_users(struct pump *pump)
{
    if (pump->stop == STOP_HANGUP_TOLD) {
        hang_up(pump);
        return;
    }
    if (pump->stop == STOP_INTERRUPTED) {
        report_stop(pump, "the command belongs to another user and has been interrupted, but "
                          "continues: its terminal will hang up");
        pump->stop = STOP_HANGUP_TOLD;
        pump->kill_ms += HANGUP_GRACE_MS - STOP_TOLD_MS;
        return;
    }
    report_stop(pump, "the command belongs to another user, and neither an interrupt nor a "
                      "hangup ends it: it cannot be stopped from here");
    pump->kill_ms = 0;
}

static void note_end_asked(struct pump *pump, int number)
{
    if (number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT)
        pump->end_asked = true;
}

static void pass_on(struct pump *pump, int number)
{
    note_end_asked(pump, number);
    if (!child_signal(pump->child, number) && (number == SIGTERM || number == SIGHUP))
        stop_another_users(pump);
}

/* Begins a stop that the dashboard has asked for: SIGTERM now, SIGKILL later. */
static void begin_stop(struct pump *pump)
{
    pump->helpers->stop_asked = false;
    if (pump->state != PUMP_RUNNING || pump->kill_ms)
        return;
    pump->kill_ms = monotonic_ms() + STOP_GRACE_MS;
    pass_on(pump, SIGTERM);
    child_signal(pump->child, SIGCONT); /* a stopped command cannot handle a signal */
}

static void go_on_stopping(struct pump *pump)
{
    if (pump->state != PUMP_RUNNING || !pump->kill_ms || monotonic_ms() < pump->kill_ms)
        return;
    if (pump->stop != STOP_BY_SIGNAL) {
        go_on_with_another_users(pump);
        return;
    }
    if (child_has_other_rights(pump->child)) { /* SIGKILL would end sudo, but not sudo's command */
        stop_another_users(pump);
        return;
    }
    child_signal(pump->child, SIGKILL);
    pump->kill_ms += KILL_AGAIN_MS;
}

/* ---- signals ---- */

enum action {
    NOTHING,
    PASS_ON,       /* to the command's process group */
    PASS_ON_ALONE, /* to the command */
    FOLLOW_WINDOW,
    GO_ON,   /* another process has continued us */
    SUSPEND, /* stop ourselves: the command has ended */
    LEAVE,   /* no longer wait for the caller or the delivery */
};

/* What a signal from another process does in each state. A signal that is not listed goes to the
 * command while the command lives. */
static const struct {
    int number;
    enum action action[PUMP_STATES]; /* RUNNING, DRAINING, DELIVERING */
} rules[] = {
    {SIGHUP, {PASS_ON, LEAVE, LEAVE}},
    {SIGINT, {PASS_ON, LEAVE, LEAVE}},
    {SIGQUIT, {PASS_ON, LEAVE, LEAVE}},
    {SIGTERM, {PASS_ON, LEAVE, LEAVE}},
    {SIGTSTP, {PASS_ON, SUSPEND, SUSPEND}},
    {SIGTTIN, {PASS_ON, SUSPEND, SUSPEND}},
    {SIGTTOU, {PASS_ON, SUSPEND, SUSPEND}},
    {SIGCONT, {GO_ON, GO_ON, GO_ON}},
    {SIGWINCH, {FOLLOW_WINDOW, NOTHING, NOTHING}},
    {SIGUSR1, {PASS_ON, NOTHING, NOTHING}},
    {SIGUSR2, {PASS_ON, NOTHING, NOTHING}},
    {SIGALRM, {PASS_ON, NOTHING, NOTHING}},
    {SIGPROF, {PASS_ON, NOTHING, NOTHING}},
    {SIGVTALRM, {PASS_ON, NOTHING, NOTHING}},
#ifdef SIGPWR
    {SIGPWR, {PASS_ON, NOTHING, NOTHING}},
#endif
};

static enum action action_for(const struct pump *pump, int number)
{
    if (number == SIGHUP && pump->nohup)
        return NOTHING;
    if (pump->state != PUMP_RUNNING && signals_ignored(number))
        return NOTHING;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].number == number)
            return rules[i].action[pump->state];
    return pump->state == PUMP_RUNNING ? PASS_ON_ALONE : NOTHING;
}

/* Signals from our own work and our own children, which are not for the command. */
static bool is_ours(const struct caught_signal *caught)
{
    if (!caught->by_kernel)
        return caught->sender == getpid();
    return caught->number == SIGCHLD || caught->number == SIGTTIN || caught->number == SIGTTOU ||
           caught->number == SIGPIPE || caught->number == SIGXFSZ || caught->number == SIGXCPU;
}

/* Passes on the held signal, unless the command has got it already. */
static void let_held_go(struct pump *pump)
{
    int number = pump->held.number;

    pump->held.number = 0;
    if (number == 0 || pump->state != PUMP_RUNNING ||
        child_has_signal(pump->child, number, pump->held.since_ms - HELD_BEFORE_MS))
        return;
    if (pump->held.alone)
        child_signal_alone(pump->child, number);
    else
        pass_on(pump, number);
}

/* A service manager that stops a service signals each of its processes, one after the other. The
 * command must not get the signal a second time from us, because the second signal makes some
 * programs give up in the middle of their work. */
static void hold(struct pump *pump, int number, bool alone)
{
    int64_t now = monotonic_ms();

    note_end_asked(pump, number);
    pump->held.number = number;
    pump->held.alone = alone;
    pump->held.since_ms = now;
    pump->held.until_ms = now + HELD_MS;
}

static void look_at_held(struct pump *pump)
{
    if (pump->held.number && monotonic_ms() >= pump->held.until_ms)
        let_held_go(pump);
}

/* Whether a service manager sent the signal that may signal the command, too: the manager of a user
 * cannot signal a command that belongs to root (sudo). */
static bool is_from_manager(const struct pump *pump, const struct caught_signal *caught)
{
    return !caught->by_kernel && process_is_manager(caught->sender) &&
           (process_user(caught->sender) == 0 || !child_has_other_rights(pump->child));
}

static void take_signal(struct pump *pump, const struct caught_signal *caught)
{
    bool by_manager = is_from_manager(pump, caught);

    if (is_ours(caught))
        return;
    if (caught->number != SIGCONT) /* a service manager sends SIGCONT after each signal */
        let_held_go(pump);         /* signals keep their order */
    switch (action_for(pump, caught->number)) {
    case NOTHING:
        break;
    case PASS_ON:
        if (by_manager)
            hold(pump, caught->number, false);
        else
            pass_on(pump, caught->number);
        break;
    case PASS_ON_ALONE:
        if (by_manager)
            hold(pump, caught->number, true);
        else
            child_signal_alone(pump->child, caught->number);
        break;
    case FOLLOW_WINDOW:
        if (!keys_follow_window(pump) && !caught->by_kernel)
            child_signal_alone(pump->child, SIGWINCH);
        break;
    case GO_ON:
        keys_resume(pump);
        /* if the monitor sent the signal, the command continues already */
        if (caught->sender != pump->child->monitor)
            child_signal(pump->child, SIGCONT);
        break;
    case SUSPEND:
        keys_stop(pump, SIGTSTP, false);
        break;
    case LEAVE:
        pump->leave = true;
        break;
    }
}

/* As the first process of a container, this process inherits orphans, and reaps them. */
static void reap(struct pump *pump)
{
    pid_t writer = pump->log->writer, pid;
    bool all = getpid() == 1;
    int status;

    for (int i = 0; i < HELPER_COUNT; i++) {
        pid = pump->helpers->one[i].pid;
        if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid)
            helpers_reaped(pump->helpers, pid, status);
    }
    if (writer > 0 && waitpid(writer, &status, WNOHANG) == writer)
        run_log_reaped(pump->log, writer);
    child_reap(pump->child);
    while (all && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (child_reaped(pump->child, pid, status))
            continue;
        helpers_reaped(pump->helpers, pid, status);
        run_log_reaped(pump->log, pid);
    }
}

static void read_signals(struct pump *pump)
{
    struct caught_signal caught;

    while (signals_next(pump->signals, &caught))
        take_signal(pump, &caught);
    reap(pump);
}

/* The monitor has sent a report about the command. */
static void read_monitor_reports(struct pump *pump)
{
    int stopped_by = child_event(pump->child);

    if (stopped_by)
        keys_suspend(pump, stopped_by);
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
    if (pump->log_pause_ms)
        polls[POLL_LOG] = (struct pollfd){.fd = pump->log->channel, .events = POLLIN};
    if (keys_wanted(pump))
        polls[POLL_KEYS] = (struct pollfd){.fd = pump->terminal->fd, .events = POLLIN};
    if (pump->keys_start < pump->keys_end)
        polls[POLL_MASTER_OUT] = (struct pollfd){.fd = pump->child->master, .events = POLLOUT};
    for (int i = 0; i < 3; i++) {
        const struct flow *flow = &pump->flows[i];

        if (!pump->log_pause_ms && flow_may_read(pump, flow))
            polls[POLL_FLOWS + 2 * i] = (struct pollfd){.fd = flow->from, .events = POLLIN};
        if (flow_pending(flow))
            polls[POLL_FLOWS + 2 * i + 1] = (struct pollfd){.fd = flow->to.fd, .events = POLLOUT};
    }
}

/* The shorter of two waiting times; -1: no limit. */
static int64_t sooner(int64_t wait, int64_t left)
{
    left = left < 0 ? 0 : left;
    return wait < 0 || left < wait ? left : wait;
}

static int poll_timeout(struct pump *pump)
{
    int64_t wait = helpers_tick(pump->helpers);

    pump->log_pause_ms = run_log_pause(pump->log);
    if (pump->log_pause_ms)
        wait = sooner(wait, pump->log_pause_ms);
    if (pump->give_up_ms)
        wait = sooner(wait, pump->give_up_ms - monotonic_ms());
    if (pump->state != PUMP_RUNNING)
        return (int)wait;
    if (pump->kill_ms)
        wait = sooner(wait, pump->kill_ms - monotonic_ms());
    if (pump->held.number)
        wait = sooner(wait, pump->held.until_ms - monotonic_ms());
    if (keys_look_often(pump) || pump->pause_ms > monotonic_ms())
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
        if (flow_pending(flow))
            flow_write(pump, flow);
    }
}

/* If there is no more output to show now, first lets the terminal process the output of other
 * programs again. */
static int wait_for_events(struct pump *pump, struct pollfd *polls, int timeout)
{
    nfds_t count = pump->log_pause_ms ? POLL_COUNT : POLL_LOG;

    if (pump->terminal->in_output && !flow_pending(&pump->flows[0])) {
        int ready = poll(polls, count, 0);

        if (ready != 0)
            return ready;
        terminal_end_output(pump->terminal);
    }
    return poll(polls, count, timeout);
}

static void step(struct pump *pump)
{
    struct pollfd polls[POLL_COUNT];
    int timeout = poll_timeout(pump);

    fill_polls(pump, polls);
    if (wait_for_events(pump, polls, timeout) < 0)
        return; /* EINTR, or ENOMEM, which passes */
    serve_flows(pump, polls);
    keys_serve(pump, polls[POLL_KEYS].revents);
    if (pump->keys_start < pump->keys_end)
        keys_write(pump);
    if (polls[POLL_CONTROL].revents)
        helpers_read_control(pump->helpers);
    if (polls[POLL_LOG].revents)
        run_log_read_channel(pump->log);
    if (polls[POLL_CHILD].revents)
        read_monitor_reports(pump);
    if (polls[POLL_SIGNALS].revents)
        read_signals(pump);
    else if (timeout >= 0 && keys_look_often(pump))
        keys_look_at_terminal(pump);
    if (pump->helpers->stop_asked)
        begin_stop(pump);
    look_at_held(pump);
    go_on_stopping(pump);
    if (pump->give_up_ms && monotonic_ms() >= pump->give_up_ms)
        pump->leave = true;
}

static bool pending(const struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        if (flow_pending(&pump->flows[i]))
            return true;
    return false;
}

/* Reads what the command has left in the pipe or pty and can be read now. */
static size_t read_rest(struct pump *pump, struct flow *flow)
{
    struct pollfd ready = {.fd = flow->from, .events = POLLIN};

    if (!flow_may_read(pump, flow))
        return 0;
    /* poll also moves bytes that are still on their way through the pty. Only the answer that there
     * is nothing counts. After a failed poll, the read finds out, because it does not wait. */
    if (poll(&ready, 1, 0) == 0) {
        flow->left = 0;
        return 0;
    }
    return flow_read(pump, flow);
}

/* The most bytes that the command can have left in a pipe or a pty. Bytes that other processes
 * write in the meantime come after these. */
static size_t left_in(const struct flow *flow)
{
    int waiting = 0;

    if (!flow->is_pipe || ioctl(flow->from, FIONREAD, &waiting) < 0)
        return PTY_HOLDS;
    return (size_t)waiting > flow->ahead ? (size_t)waiting - flow->ahead : 0;
}

/* The command has ended. Reads the bytes that it left in the pty and the pipes, but not the output
 * of other processes that still write there. The end is reached when all bytes are written and
 * another look finds nothing: if the buffer was full at one look, there may be more. */
static void drain(struct pump *pump)
{
    size_t got;

    pump->state = PUMP_DRAINING;
    if (pump->end_asked && WIFSIGNALED(pump->child->status))
        pump->give_up_ms = monotonic_ms() + GIVE_UP_MS;
    keys_end(pump);
    for (int i = 0; i < 3; i++)
        if (pump->flows[i].from >= 0)
            pump->flows[i].left = left_in(&pump->flows[i]);
    do {
        for (int i = 0; i < 3; i++)
            flow_write(pump, &pump->flows[i]);
        got = 0;
        for (int i = 0; i < 3; i++)
            got += read_rest(pump, &pump->flows[i]);
        if (pending(pump))
            step(pump); /* the caller is slow: wait for it, as the command would have */
        else if (got == 0)
            break;
    } while (!pump->leave);
}

/* Writes what has been read; reads nothing more. */
static void write_rest(struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        pump->flows[i].left = 0;
    flow_give_held_cr(&pump->flows[0]);
    while (pending(pump) && !pump->leave) {
        step(pump);
        flow_give_held_cr(&pump->flows[0]); /* the buffer may have been too full before */
    }
}

void pump_run(struct pump *pump)
{
    pump->alert_ms = pump->terminal->shared ? monotonic_ms() + ALERT_MS : 0;
    keys_resume(pump);
    while (!pump->child->ended)
        step(pump);
    drain(pump);
    write_rest(pump);
}

void pump_wait_delivery(struct pump *pump, int64_t deadline_ms)
{
    pump->state = PUMP_DELIVERING;
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
