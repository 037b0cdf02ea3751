/* The parent of the command. At a terminal, also the leader of the command's session. */
#include "monitor.h"

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

/* The keeper has nothing to do until exec, so on Linux vfork avoids a copy of the page tables. In
   the child, only calls that are allowed in a signal handler are made. (Other systems are removing
   vfork.) */
#ifdef __linux__
#define FORK_TO_EXEC vfork
#else
#define FORK_TO_EXEC fork
#endif

/* After the keeper has woken the pump, it checks the pump for a second, with these pauses. */
#define LOOK_MS 10
#define LOOKS 100

struct keeper {
    const struct keeper_plan *plan;
    pid_t pump, command, group;
    int signals;  /* a signalfd; -1: not available */
    bool stopped; /* the command is stopped */
    bool ended;
    int looks; /* how many more times to check the pump */
};

static void tell(const struct keeper *keeper, int what, int value)
{
    struct keeper_report report = {
        .what = what, .pid = keeper->command, .group = keeper->group, .value = value};

    while (write(keeper->plan->channel, &report, sizeof report) < 0 && errno == EINTR)
        ;
}

/* Waits for the pump. True if the pump sent a byte; false if it has closed the channel or died. */
static bool hear(int channel)
{
    char byte;
    ssize_t n;

    do
        n = read(channel, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* Closes what the keeper got from the pump by fork: the reader or writer of a pipe would wait for
 * the keeper. */
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

/* Another process than the pump has continued the command, or the command has ended: the pump,
 * which stopped when the command stopped, must continue. */
static void wake(const struct keeper *keeper)
{
    if (getppid() == keeper->pump)
        kill(keeper->pump, SIGCONT);
}

/* The pump may have been woken before it stopped itself, so check again. */
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
    if (keeper->stopped) /* the pump stopped, too, and nobody continues the pump */
        see_to_pump(keeper);
}

static void take_change(struct keeper *keeper, siginfo_t *info)
{
    int status;

    keeper->looks = 0;
    if (info->si_code == CLD_CONTINUED) {
        /* removes the event */
        (void)waitid(P_PID, (id_t)keeper->command, info, WCONTINUED | WNOHANG);
        see_to_pump(keeper);
    } else if (info->si_code != CLD_STOPPED && info->si_code != CLD_TRAPPED) {
        take_end(keeper, status_of(info));
    } else if (waitpid(keeper->command, &status, WNOHANG | WUNTRACED) == keeper->command) {
        if (!WIFSTOPPED(status)) { /* the command was continued in the meantime, and has ended */
            take_end(keeper, status);
            return;
        }
        tell(keeper, KEEPER_STOPPED, WSTOPSIG(status));
        keeper->stopped = true;
    }
}

/* Handles what happened to the command. Without a signalfd, waits until something happens. */
static void look_at_command(struct keeper *keeper)
{
    static const int all = WEXITED | WSTOPPED | WCONTINUED | WNOWAIT;
    int wait = keeper->signals < 0 && keeper->looks <= 0 ? 0 : WNOHANG;

    while (!keeper->ended) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)keeper->command, &info, all | wait) < 0) {
            if (errno != EINTR)
                keeper->ended = true; /* the command does not exist any more */
            continue;
        }
        if (info.si_pid == 0)
            return;
        take_change(keeper, &info);
        wait = WNOHANG;
    }
}

/* The pump ended before the command. At a terminal, the exit of the keeper, which leads the
 * session, makes the kernel send a hangup to the foreground group, whoever owns it. */
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

/* The pid of the command is not reused before this call. The resource use of the command is added
 * to the keeper's, and so reaches our caller. */
static void finish(const struct keeper *keeper)
{
    take_foreground(keeper, getpgrp()); /* our exit then sends the hangup only to ourselves */
    while (waitpid(keeper->command, NULL, WNOHANG) < 0 && errno == EINTR)
        ;
}

static void drop_signals(const struct keeper *keeper)
{
    struct caught_signal caught;

    while (keeper->signals >= 0 && signals_next(keeper->signals, &caught))
        ; /* these signals are for the command: the pump passes them on */
}

/* Watches the command until the pump closes the channel. */
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

/* Makes a process group whose leader has ended: a child makes the group and exits. The number of
 * the group stays taken by its members; until the command is a member, by the child, which is not
 * reaped. -1 on failure. */
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
    /* both processes do this, because either may run first */
    setpgid(keeper->command, keeper->group);
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
        /* what kills the caller's process group must not kill the process that reports the end */
        setpgid(0, 0);
    }
    if (!hear(plan->channel))
        _exit(0);
    start(&keeper);
    let_go(plan->terminal, plan->channel);
    keeper.signals = signals_catch_again();
    watch(&keeper);
    _exit(0);
}
