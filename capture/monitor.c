/* The parent of the command. At a terminal, also the leader of the command's session. */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/system.h"
#include "signals.h"
#include "terminal.h"

/* The monitor has nothing to do until exec, so on Linux vfork avoids a copy of the page tables. In
   the child, only calls that are allowed in a signal handler are made. (Other systems are removing
   vfork.) */
#ifdef __linux__
#define FORK_TO_EXEC vfork
#else
#define FORK_TO_EXEC fork
#endif

/* After the monitor has woken the pump, the monitor checks the pump for a second: LOOKS times, with
 * these pauses. */
#define LOOK_MS 10
#define LOOKS 100

struct monitor {
    const struct monitor_plan *plan;
    pid_t pump, command, group;
    int caller_terminal; /* our own descriptor; -1: none */
    int signals;         /* a signalfd; -1: not available */
    bool stopped;        /* the command is stopped */
    bool ended;
    int looks; /* how many more times to check the pump */
};

static void send_report(const struct monitor *monitor, int what, int value)
{
    struct monitor_report report = {
        .what = what, .pid = monitor->command, .group = monitor->group, .value = value};

    while (write(monitor->plan->channel, &report, sizeof report) < 0 && errno == EINTR)
        ;
}

/* Waits for the pump. True if the pump sent a byte; false if it has closed the channel or died. */
static bool wait_for_pump(int channel)
{
    char byte;
    ssize_t n;

    do
        n = read(channel, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* Closes what the monitor got from the pump by fork: the reader or writer of a pipe would wait for
 * the monitor. */
static void close_inherited(int terminal, int channel, int caller_terminal)
{
    int kept[] = {terminal, channel, caller_terminal};
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    close_others(kept, sizeof kept / sizeof *kept);
}

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

/* Continues the pump, which stopped when the command stopped. Called when another process has
 * continued the command, or the command has ended. */
static void wake(const struct monitor *monitor)
{
    if (getppid() == monitor->pump)
        kill(monitor->pump, SIGCONT);
}

/* The pump may have been woken before it stopped itself, so check again. */
static void look_after(struct monitor *monitor)
{
    monitor->looks--;
    if (process_stopped(monitor->pump))
        wake(monitor);
}

static void see_to_pump(struct monitor *monitor)
{
    wake(monitor);
    monitor->looks = monitor->stopped ? LOOKS : 0;
    monitor->stopped = false;
}

static void take_end(struct monitor *monitor, int status)
{
    monitor->ended = true;
    send_report(monitor, MONITOR_ENDED, status);
    if (monitor->stopped) /* the pump stopped, too, and nobody continues the pump */
        see_to_pump(monitor);
}

static void take_change(struct monitor *monitor, siginfo_t *info)
{
    int status;

    monitor->looks = 0;
    if (info->si_code == CLD_CONTINUED) {
        /* removes the event */
        (void)waitid(P_PID, (id_t)monitor->command, info, WCONTINUED | WNOHANG);
        see_to_pump(monitor);
    } else if (info->si_code != CLD_STOPPED && info->si_code != CLD_TRAPPED) {
        take_end(monitor, status_of(info));
    } else if (waitpid(monitor->command, &status, WNOHANG | WUNTRACED) == monitor->command) {
        if (!WIFSTOPPED(status)) { /* the command was continued in the meantime, and has ended */
            take_end(monitor, status);
            return;
        }
        send_report(monitor, MONITOR_STOPPED, WSTOPSIG(status));
        monitor->stopped = true;
    }
}

/* Handles what happened to the command. Without a signalfd, waits until something happens. */
static void look_at_command(struct monitor *monitor)
{
    static const int all = WEXITED | WSTOPPED | WCONTINUED | WNOWAIT;
    int wait = monitor->signals < 0 && monitor->looks <= 0 ? 0 : WNOHANG;

    while (!monitor->ended) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)monitor->command, &info, all | wait) < 0) {
            if (errno != EINTR)
                monitor->ended = true; /* the command does not exist any more */
            continue;
        }
        if (info.si_pid == 0)
            return;
        take_change(monitor, &info);
        wait = WNOHANG;
    }
}

/* The pump ended before the command. At a terminal, the exit of the monitor, which leads the
 * session, makes the kernel send a hangup to the foreground group, whoever owns it. */
static void hang_up(const struct monitor *monitor)
{
    pid_t group = getpgid(monitor->command);

    if (monitor->plan->terminal < 0 && group > 0) {
        kill(-group, SIGHUP);
        kill(-group, SIGCONT);
    }
}

static void take_foreground(const struct monitor *monitor, pid_t group)
{
    if (monitor->plan->terminal >= 0 && group > 0)
        tcsetpgrp(monitor->plan->terminal, group);
}

/* Reaps the command; until then, its pid is not reused. The kernel adds the resource use of the
 * command to that of the monitor, and so our caller gets it. */
static void finish(const struct monitor *monitor)
{
    take_foreground(monitor, getpgrp()); /* our exit then sends the hangup only to ourselves */
    while (waitpid(monitor->command, NULL, WNOHANG) < 0 && errno == EINTR)
        ;
}

/* A signal from another process to the monitor is reported to the pump. The sender signals a whole
 * control group or all processes of a user, so the command has got the signal, too, and the pump
 * must not pass it on. */
static void take_signals(const struct monitor *monitor)
{
    struct monitor_report report = {.what = MONITOR_SIGNALLED, .pid = monitor->command};
    struct caught_signal caught;

    while (monitor->signals >= 0 && signals_next(monitor->signals, &caught)) {
        report.value = caught.number;
        if (!caught.by_kernel && !monitor->ended)
            /* if the channel is full, enough reports wait in it */
            (void)send(monitor->plan->channel, &report, sizeof report, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* Watches the command until the pump closes the channel. */
static void watch(struct monitor *monitor)
{
    struct pollfd polls[] = {{.fd = monitor->plan->channel, .events = POLLIN},
                             {.fd = monitor->signals, .events = POLLIN}};

    for (;;) {
        look_at_command(monitor);
        if (poll(polls, 2, monitor->looks > 0 ? LOOK_MS : -1) > 0 && polls[0].revents &&
            !wait_for_pump(monitor->plan->channel))
            break;
        take_signals(monitor);
        if (monitor->looks > 0)
            look_after(monitor);
    }
    if (getppid() != monitor->pump) /* it was killed */
        terminal_restore(monitor->caller_terminal, monitor->plan->caller_modes);
    if (monitor->ended)
        finish(monitor);
    else
        hang_up(monitor);
}

/* Makes a process group whose leader has ended: a child makes the group and exits. The child is not
 * reaped before the command is a member, so the number of the group is not reused. -1 on failure.
 */
static pid_t make_group(void)
{
    pid_t leader = FORK_TO_EXEC(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
    if (leader == 0) {
        setpgid(0, 0); /* NOLINT(clang-analyzer-unix.Vfork) */
        _exit(0);
    }
    return leader;
}

/* Starts the command. False: exec has surely failed. */
static void start(struct monitor *monitor)
{
    pid_t leader = monitor->plan->own_group ? -1 : make_group();

    monitor->group = leader > 0 ? leader : 0;
    take_foreground(monitor, monitor->group);
    monitor->command = FORK_TO_EXEC(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
    if (monitor->command == 0) {
        setpgid(0, monitor->group); /* NOLINT(clang-analyzer-unix.Vfork): as above */
        if (monitor->group == 0)
            take_foreground(monitor, getpid());
        monitor->plan->command.call(monitor->plan->command.context);
        _exit(127);
    }
    if (monitor->command < 0) {
        send_report(monitor, MONITOR_FAILED, errno);
        _exit(1);
    }
    /* both processes do this, because either may run first */
    setpgid(monitor->command, monitor->group);
    if (leader > 0)
        (void)waitpid(leader, NULL, 0);
    else
        monitor->group = monitor->command;
    send_report(monitor, MONITOR_STARTED, 0);
}

void monitor_run(const struct monitor_plan *plan)
{
    struct monitor monitor = {
        .plan = plan, .pump = getppid(), .signals = -1, .caller_terminal = -1};

    if (plan->terminal >= 0) {
        setsid();
        ioctl(plan->terminal, TIOCSCTTY, 0);
    } else {
        /* a signal that kills the caller's process group must not kill the monitor, which reports
         * the end */
        setpgid(0, 0);
    }
    if (!wait_for_pump(plan->channel))
        _exit(0);
    start(&monitor);
    if (plan->caller_terminal >= 0) /* it may be one of the standard descriptors */
        monitor.caller_terminal = fcntl(plan->caller_terminal, F_DUPFD_CLOEXEC, 3);
    close_inherited(plan->terminal, plan->channel, monitor.caller_terminal);
    monitor.signals = signals_catch_again();
    watch(&monitor);
    _exit(0);
}
