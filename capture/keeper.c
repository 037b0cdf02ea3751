/* The command's parent, and at a terminal its session leader. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/system.h"
#include "signals.h"

/* The keeper has nothing to do until the command is executed: on Linux that spares a copy of the
   memory's map. The command's side only calls what it could in a signal handler. (Elsewhere vfork
   is on its way out.) */
#ifdef __linux__
#define FORK_TO_EXEC vfork
#else
#define FORK_TO_EXEC fork
#endif

/* For a second after a pump was woken it is looked after, at these pauses. */
#define LOOK_MS 10
#define LOOKS 100

struct keeper {
    const struct keeper_plan *plan;
    pid_t pump, command, group;
    int signals;  /* -1: not to be had */
    bool stopped; /* the command is */
    bool ended;
    int looks; /* how often the pump is still to be looked after */
};

static void tell(const struct keeper *keeper, int what, int value)
{
    struct keeper_report report = {
        .what = what, .pid = keeper->command, .group = keeper->group, .value = value};

    while (write(keeper->plan->channel, &report, sizeof report) < 0 && errno == EINTR)
        ;
}

/* Waits for the pump: true if it says something, false when it has let go (or died). */
static bool hear(int channel)
{
    char byte;
    ssize_t n;

    do
        n = read(channel, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* What the keeper shares with the pump by fork it must not hold: a pipe's reader or writer would
 * wait for it. */
static void let_go(int terminal, int channel)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    close_from(channel > terminal ? channel + 1 : terminal + 1);
    for (int fd = 3; fd < (channel > terminal ? channel : terminal); fd++)
        if (fd != channel && fd != terminal)
            close(fd);
}

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

/* Someone else than the pump has continued the command, or it has ended: the pump, which stopped
 * with it, must go on, too. */
static void wake(const struct keeper *keeper)
{
    if (getppid() == keeper->pump)
        kill(keeper->pump, SIGCONT);
}

/* The pump may have been preempted before it stopped itself: check again. */
static void look_after(struct keeper *keeper)
{
    keeper->looks--;
    if (process_stopped(keeper->pump))
        wake(keeper);
}

static void see_to_pump(struct keeper *keeper)
{
    wake(keeper);
    keeper->looks = keeper->stopped ? LOOKS : 0;
    keeper->stopped = false;
}

static void take_end(struct keeper *keeper, int status)
{
    keeper->ended = true;
    tell(keeper, KEEPER_ENDED, status);
    if (keeper->stopped) /* the pump stopped with it, and nobody continues it */
        see_to_pump(keeper);
}

static void take_change(struct keeper *keeper, siginfo_t *info)
{
    int status;

    keeper->looks = 0;
    if (info->si_code == CLD_CONTINUED) {
        (void)waitid(P_PID, (id_t)keeper->command, info, WCONTINUED | WNOHANG); /* seen */
        see_to_pump(keeper);
    } else if (info->si_code != CLD_STOPPED && info->si_code != CLD_TRAPPED) {
        take_end(keeper, status_of(info));
    } else if (waitpid(keeper->command, &status, WNOHANG | WUNTRACED) == keeper->command) {
        if (!WIFSTOPPED(status)) { /* it was continued in between, and has ended */
            take_end(keeper, status);
            return;
        }
        tell(keeper, KEEPER_STOPPED, WSTOPSIG(status));
        keeper->stopped = true;
    }
}

/* Takes what has happened to the command; waits for something where there is no other way to
 * wait. */
static void look_at_command(struct keeper *keeper)
{
    static const int all = WEXITED | WSTOPPED | WCONTINUED | WNOWAIT;
    int wait = keeper->signals < 0 && keeper->looks <= 0 ? 0 : WNOHANG;

    while (!keeper->ended) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)keeper->command, &info, all | wait) < 0) {
            if (errno != EINTR)
                keeper->ended = true; /* it is not there any more */
            continue;
        }
        if (info.si_pid == 0)
            return;
        take_change(keeper, &info);
        wait = WNOHANG;
    }
}

/* The pump has gone before the command. At a terminal our exit, as the session's leader, makes the
 * kernel hang up on the foreground, whoever it belongs to. */
static void hang_up(const struct keeper *keeper)
{
    pid_t group = getpgid(keeper->command);

    if (keeper->plan->terminal < 0 && group > 0) {
        kill(-group, SIGHUP);
        kill(-group, SIGCONT);
    }
}

static void take_foreground(const struct keeper *keeper, pid_t group)
{
    if (keeper->plan->terminal >= 0 && group > 0)
        tcsetpgrp(keeper->plan->terminal, group);
}

/* The command's number stays its own until here. What it has used is added to what we have, and
 * reaches our caller. */
static void finish(const struct keeper *keeper)
{
    take_foreground(keeper, getpgrp()); /* the hangup that our exit means is then for us alone */
    while (waitpid(keeper->command, NULL, WNOHANG) < 0 && errno == EINTR)
        ;
}

static void drop_signals(const struct keeper *keeper)
{
    struct caught_signal caught;

    while (keeper->signals >= 0 && signals_next(keeper->signals, &caught))
        ; /* they are for the command: the pump passes them on */
}

/* Until the pump lets go. */
static void watch(struct keeper *keeper)
{
    struct pollfd polls[] = {{.fd = keeper->plan->channel, .events = POLLIN},
                             {.fd = keeper->signals, .events = POLLIN}};

    for (;;) {
        look_at_command(keeper);
        if (poll(polls, 2, keeper->looks > 0 ? LOOK_MS : -1) > 0 && polls[0].revents &&
            !hear(keeper->plan->channel))
            break;
        drop_signals(keeper);
        if (keeper->looks > 0)
            look_after(keeper);
    }
    if (keeper->ended)
        finish(keeper);
    else
        hang_up(keeper);
}

/* A process group whose leader is gone: a child that makes it and ends. Its number stays taken by
 * whoever is in the group; until the command is, by the child that is not reaped. -1: none. */
static pid_t make_group(void)
{
    pid_t leader = FORK_TO_EXEC(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

    if (leader == 0) {
        setpgid(0, 0); /* NOLINT(clang-analyzer-unix.Vfork) */
        _exit(0);
    }
    return leader;
}

/* Starts the command. False: exec is known to have failed. */
static void start(struct keeper *keeper)
{
    pid_t leader = keeper->plan->own_group ? -1 : make_group();

    keeper->group = leader > 0 ? leader : 0;
    take_foreground(keeper, keeper->group);
    keeper->command = FORK_TO_EXEC(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
    if (keeper->command == 0) {
        setpgid(0, keeper->group); /* NOLINT(clang-analyzer-unix.Vfork): as above */
        if (keeper->group == 0)
            take_foreground(keeper, getpid());
        keeper->plan->command.call(keeper->plan->command.context);
        _exit(127);
    }
    if (keeper->command < 0) {
        tell(keeper, KEEPER_FAILED, errno);
        _exit(1);
    }
    setpgid(keeper->command, keeper->group); /* whoever of the two is first */
    if (leader > 0)
        (void)waitpid(leader, NULL, 0);
    else
        keeper->group = keeper->command;
    tell(keeper, KEEPER_STARTED, 0);
}

void keeper_run(const struct keeper_plan *plan)
{
    struct keeper keeper = {.plan = plan, .pump = getppid(), .signals = -1};

    if (plan->terminal >= 0) {
        setsid();
        ioctl(plan->terminal, TIOCSCTTY, 0);
    } else {
        setpgid(0, 0); /* what kills the caller's process group must not kill who tells of it */
    }
    if (!hear(plan->channel))
        _exit(0);
    start(&keeper);
    let_go(plan->terminal, plan->channel);
    keeper.signals = signals_catch_again();
    watch(&keeper);
    _exit(0);
}
