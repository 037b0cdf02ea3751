/* The session leader that waits for the command. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/system.h"

/* The keeper has nothing to do until the command is executed: on Linux that spares a copy of the
   memory's map. The command's side only calls what it could in a signal handler, and changes one
   variable that the keeper reads, on purpose. (Elsewhere vfork is on its way out.) */
#ifdef __linux__
#define FORK_TO_EXEC vfork
#else
#define FORK_TO_EXEC fork
#endif

/* For a second after a pump was woken it is looked after, at these pauses. */
#define LOOK_MS 10
#define LOOKS 100

#ifdef __APPLE__ /* has no closefrom(3) */
static void closefrom(int low)
{
    for (int fd = low, end = getdtablesize(); fd < end; fd++)
        close(fd);
}
#endif

static void tell(int channel, int what, pid_t pid, int value)
{
    struct keeper_report report = {.what = what, .pid = pid, .value = value};

    while (write(channel, &report, sizeof report) < 0 && errno == EINTR)
        ;
}

/* Waits for the caller: true if it says something, false when it has let go (or died). */
static bool hear(int channel)
{
    char byte;
    ssize_t n;

    do
        n = read(channel, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* What the keeper shares with the caller by fork it must not hold: a pipe's reader or writer would
 * wait for it. */
static void let_go(int slave, int channel)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    closefrom(channel > slave ? channel + 1 : slave + 1);
    for (int fd = 3; fd < (channel > slave ? channel : slave); fd++)
        if (fd != channel && fd != slave)
            close(fd);
}

static int status_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? (info->si_status & 0xff) << 8 : info->si_status & 0x7f;
}

/* Someone else than the pump has continued the command, or it has ended: the pump, which stopped
 * with it, must go on, too. */
static void wake(pid_t pump)
{
    if (getppid() == pump)
        kill(pump, SIGCONT);
}

/* One that had no processor may stop only now. */
static void look_after(pid_t pump)
{
    if (process_stopped(pump))
        wake(pump);
}

/* The end of a command that was stopped: the pump stopped with it, and nobody continues it. */
static void tell_end(int channel, pid_t pid, int status, pid_t stopped_pump)
{
    struct pollfd heard = {.fd = channel, .events = POLLIN};

    tell(channel, KEEPER_ENDED, pid, status);
    if (stopped_pump <= 0)
        return;
    wake(stopped_pump);
    for (int i = 0; i < LOOKS && poll(&heard, 1, LOOK_MS) == 0; i++)
        look_after(stopped_pump);
}

/* Waits for the next thing that happens to the command. *looks: how often the pump is still to be
 * looked after meanwhile. */
static int next_change(pid_t pid, siginfo_t *info, pid_t pump, int *looks)
{
    static const int all = WEXITED | WSTOPPED | WCONTINUED | WNOWAIT;

    for (; *looks > 0; --*looks) {
        int result;

        *info = (siginfo_t){0};
        result = waitid(P_PID, (id_t)pid, info, all | WNOHANG);
        if (result < 0 || info->si_pid != 0)
            return result;
        (void)poll(NULL, 0, LOOK_MS);
        look_after(pump);
    }
    return waitid(P_PID, (id_t)pid, info, all);
}

static void watch(pid_t pid, int channel, pid_t pump)
{
    siginfo_t info;
    pid_t stopped = 0; /* the pump, while the command is stopped */
    int status, looks = 0;

    for (;;) {
        if (next_change(pid, &info, pump, &looks) < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        looks = 0;
        if (info.si_code == CLD_CONTINUED) {
            (void)waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG); /* seen */
            wake(pump);
            looks = stopped ? LOOKS : 0;
            stopped = 0;
            continue;
        }
        if (info.si_code != CLD_STOPPED && info.si_code != CLD_TRAPPED) {
            tell_end(channel, pid, status_of(&info), stopped);
            return;
        }
        if (waitpid(pid, &status, WNOHANG | WUNTRACED) != pid)
            continue; /* it was continued in between */
        if (!WIFSTOPPED(status)) {
            tell_end(channel, pid, status, stopped);
            return;
        }
        tell(channel, KEEPER_STOPPED, pid, WSTOPSIG(status));
        stopped = pump;
    }
}

void keeper_run(int slave, int channel, struct keeper_job command, struct keeper_job meanwhile)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGTSTP, SIGTTOU,
                                  SIGTTIN, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH};
    pid_t pump = getppid();
    volatile bool failed = false; /* set by the child of vfork, which shares our memory */
    pid_t pid;

    signal(SIGTTOU, SIG_IGN); /* for tcsetpgrp below */
    setsid();
    if (slave >= 0)
        ioctl(slave, TIOCSCTTY, 0);
    if (!hear(channel))
        _exit(0);
    pid = FORK_TO_EXEC(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): as above */
    if (pid == 0) {
        setpgid(0, 0); /* NOLINT(clang-analyzer-unix.Vfork): as above */
        if (slave >= 0)
            tcsetpgrp(slave, getpid());
        command.call(command.context);
        failed = true; /* NOLINT(clang-analyzer-unix.Vfork): as above */
        _exit(127);
    }
    if (pid < 0) {
        tell(channel, KEEPER_FAILED, -1, errno);
        _exit(1);
    }
    setpgid(pid, pid); /* whoever of the two is first */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    tell(channel, KEEPER_STARTED, pid, 0);
    let_go(slave, channel);
    if (meanwhile.call && !failed)
        meanwhile.call(meanwhile.context);
    watch(pid, channel, pump);
    hear(channel);
    if (slave >= 0)
        tcsetpgrp(slave, getpgrp()); /* the hangup that our exit means is then for us alone */
    _exit(0);
}
