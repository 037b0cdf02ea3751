/* Starts the command under a pty. Everything that may fail in the new process before exec is
 * reported through a pipe that exec closes. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/system.h"
#include "limits.h"
#include "signals.h"

/* Descriptors during a start; those that are still here at its end are closed. */
struct start {
    int slave, out[2], err[2], report[2], channel[2];
};

static void start_close(struct start *s)
{
    int *all[] = {&s->slave,     &s->out[0],    &s->out[1],     &s->err[0],    &s->err[1],
                  &s->report[0], &s->report[1], &s->channel[0], &s->channel[1]};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        close_fd(all[i]);
}

/* Makes a pipe whose ends are above the standard descriptors, which the caller may have closed. */
static int make_pipe(int ends[2])
{
    int made[2];

    if (pipe(made) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(made[i], F_DUPFD_CLOEXEC, 3);
        close(made[i]);
    }
    return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

static int no_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int above_standard(int fd)
{
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

    close_fd(&fd);
    return moved;
}

/* If not all output goes to the caller's terminal, other programs write to that terminal as well,
   so the terminal still adds a CR before each LF. Our pty must not add a second CR then. */
static bool processes_output(const struct streams *streams)
{
    return !streams->output_pty && !streams->pipe_stdout && !streams->pipe_stderr;
}

/* flags: for opening the slave. */
static int make_pty(int *master, int *slave, int flags, struct termios *mode)
{
    char *name;

    *master = above_standard(posix_openpt(O_RDWR | O_NOCTTY));
    if (*master < 0 || grantpt(*master) < 0 || unlockpt(*master) < 0 || !(name = ptsname(*master)))
        return -1;
    *slave = above_standard(open(name, flags | O_NOCTTY));
    return *slave < 0 || tcgetattr(*slave, mode) < 0 ? -1 : no_block(*master);
}

static int open_pty(struct child *child, struct start *s, const struct streams *streams,
                    const struct termios *modes)
{
    struct termios mode;

    if (make_pty(&child->master, &s->slave, O_RDWR, &mode) < 0)
        return -1;
    if (modes)
        mode = *modes;
    if (!processes_output(streams))
        mode.c_oflag &= ~(tcflag_t)OPOST; /* no CR is added */
    if (tcsetattr(s->slave, TCSANOW, &mode) < 0 && !processes_output(streams))
        return -1; /* on other systems the output is right without TIOCPKT, too */
    if (tcgetattr(s->slave, &child->modes) < 0)
        child->modes = mode;
    return 0;
}

/* Opens a pty for output that goes to a pipe or a file. The slave can only be written to, as a pipe
 * can. */
static int open_output_pty(struct child *child, struct start *s)
{
    struct termios mode;

    if (make_pty(&s->out[0], &s->out[1], O_WRONLY, &mode) < 0)
        return -1;
    child->out_is_pty = true;
    mode.c_oflag &= ~(tcflag_t)OPOST;
    mode.c_lflag &= ~(tcflag_t)ECHO;
    return tcsetattr(s->out[1], TCSANOW, &mode);
}

static void become(int from, int to)
{
    if (from >= 0 && dup2(from, to) < 0)
        _exit(125);
}

/* What the new process needs to become the command. */
struct becoming {
    const struct start *start;
    const struct child_plan *plan;
};

/* Runs in the new process. Returns only if exec failed. Only async-signal-safe calls. */
static void become_command(void *context)
{
    const struct becoming *b = context;
    const struct start *s = b->start;
    const struct streams *streams = b->plan->streams;
    extern char **environ;
    int problem;

    if (streams->pty_stdin)
        become(s->slave, STDIN_FILENO);
    become(streams->pty_stdout ? s->slave : s->out[1], STDOUT_FILENO);
    become(streams->pty_stderr ? s->slave : streams->plain ? s->out[1] : s->err[1], STDERR_FILENO);
    signals_restore();
    limits_restore();
    if (b->plan->hangup_ignored)
        signal(SIGHUP, SIG_IGN);
    environ = (char **)b->plan->environment;
    execvp(b->plan->command[0], b->plan->command);
    problem = errno;
    if (write(s->report[1], &problem, sizeof problem) < 0)
        _exit(125);
}

/* Waits until exec has worked or failed. Returns 0, or the errno of exec. */
static int exec_problem(int report)
{
    int problem = 0;
    ssize_t n;

    do
        n = read(report, &problem, sizeof problem);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof problem ? problem : 0;
}

static void set_end(struct child *child, int status, bool lost)
{
    child->ended = true;
    child->lost = lost;
    child->status = status;
}

/* Reads the first report of the monitor: the command's pid. Waits as long as a fork takes. Returns
   0; or -1 with errno if the command was not started. If the monitor was killed, it may have
   started the command, which must not be started again. */
static int first_report(struct child *child)
{
    struct monitor_report report;
    ssize_t n;

    do
        n = read(child->channel, &report, sizeof report);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof report) {
        set_end(child, SIGKILL, true);
        return no_block(child->channel);
    }
    if (report.what != MONITOR_STARTED) {
        errno = report.value;
        return -1;
    }
    child->pid = report.pid;
    child->group = report.group;
    return no_block(child->channel);
}

static int open_all(struct child *child, struct start *s, const struct streams *streams,
                    const struct termios *modes)
{
    if (make_pipe(s->report) < 0 || (streams->pty && open_pty(child, s, streams, modes) < 0) ||
        (streams->output_pty && open_output_pty(child, s) < 0) ||
        (streams->pipe_stdout && make_pipe(s->out) < 0) ||
        (streams->pipe_stderr && make_pipe(s->err) < 0) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, s->channel) < 0)
        return -1;
    s->channel[0] = above_standard(s->channel[0]);
    s->channel[1] = above_standard(s->channel[1]);
    return s->channel[0] < 0 || s->channel[1] < 0 ? -1 : 0;
}

/* Runs in the new process. Never returns. */
static void run_monitor(struct start *s, const struct child_plan *plan)
{
    struct becoming becoming = {s, plan};

    close_fd(&s->channel[0]); /* otherwise the monitor would not see the end of the pump */
    monitor_run(&(struct monitor_plan){.channel = s->channel[1],
                                       .terminal = plan->streams->session ? s->slave : -1,
                                       .caller_terminal = plan->caller_terminal,
                                       .caller_modes = &plan->caller_modes,
                                       .own_group = plan->own_group,
                                       .command = {become_command, &becoming}});
}

int child_prepare(struct child *child, const struct child_plan *plan)
{
    struct start s = {-1, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};

    *child = (struct child){
        .pid = -1, .monitor = -1, .channel = -1, .report = -1, .master = -1, .out = -1, .err = -1};
    if (open_all(child, &s, plan->streams, plan->modes) < 0)
        goto failed;
    child->session = plan->streams->session;
    if (s.slave < 0 || ttyname_r(s.slave, plan->terminal_name, TERMINAL_NAME_SIZE) != 0)
        plan->terminal_name[0] = '\0';
    child->out = s.out[0];
    child_resize(child, &plan->window);
    child->out = -1;
    child->monitor = fork();
    if (child->monitor < 0)
        goto failed;
    if (child->monitor == 0)
        run_monitor(&s, plan);
    child->out = s.out[0];
    child->err = s.err[0];
    child->channel = s.channel[0];
    child->report = s.report[0];
    s.out[0] = s.err[0] = s.channel[0] = s.report[0] = -1;
    start_close(&s);
    return 0;
failed:
    start_close(&s);
    child_close(child);
    return -1;
}

void child_begin(struct child *child)
{
    child->begun = write_all(child->channel, "", 1) == 0;
}

enum child_failure child_started(struct child *child)
{
    int problem;

    if (!child->begun || first_report(child) < 0) {
        child_close(child);
        return CHILD_NO_RESOURCES;
    }
    problem = exec_problem(child->report);
    close_fd(&child->report);
    if (problem) {
        child_close(child);
        errno = problem;
        return CHILD_NO_EXEC;
    }
    if ((child->out >= 0 && no_block(child->out) < 0) ||
        (child->err >= 0 && no_block(child->err) < 0)) {
        /* A read of one stream may then wait for the other one; nothing is lost. */
    }
    return CHILD_STARTED;
}

static void note_signalled(struct child *child, int number)
{
    if (number <= 0 || number >= CHILD_SIGNALS)
        return;
    if (!child->found_early[number])
        child->signalled_ms[number] = monotonic_ms();
    child->found_early[number] = false;
}

int child_event(struct child *child)
{
    struct monitor_report report;
    ssize_t n = read(child->channel, &report, sizeof report);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n == (ssize_t)sizeof report && report.what == MONITOR_STOPPED)
        return report.value;
    if (n == (ssize_t)sizeof report && report.what == MONITOR_SIGNALLED) {
        note_signalled(child, report.value);
        return 0;
    }
    if (n == (ssize_t)sizeof report)
        set_end(child, report.value, false);
    else
        set_end(child, SIGKILL, true);
    return 0;
}

void child_resize(const struct child *child, const struct winsize *window)
{
    /* On failure the old size remains; there is nothing to do about it. */
    if (child->master >= 0)
        ioctl(child->master, TIOCSWINSZ, window);
    if (child->out_is_pty && child->out >= 0)
        ioctl(child->out, TIOCSWINSZ, window);
}

/* Does what a key at the terminal does: the kernel then asks for no permission. False: no key has
 * this signal, or there is no terminal. */
static bool signal_foreground(const struct child *child, int number)
{
#ifdef TIOCSIG
    if (child->master >= 0 && (number == SIGINT || number == SIGQUIT || number == SIGTSTP))
        return ioctl(child->master, TIOCSIG, number) == 0 && tcgetpgrp(child->master) > 0;
#else
    (void)child, (void)number;
#endif
    return false;
}

static bool may_signal(const struct child *child)
{
    return child->pid > 0 && !child->ended;
}

bool child_signal(const struct child *child, int number)
{
    pid_t foreground, group;
    bool sent;

    if (!may_signal(child))
        return true;
    foreground = tcgetpgrp(child->master);
    /* ask for the group now: the group of the start may have no process any more */
    group = getpgid(child->pid);
    sent = group <= 0 || kill(-group, number) == 0 || errno != EPERM;
    /* the foreground is another group: sudo, or a job of a shell */
    if (!sent || (foreground > 0 && foreground != group))
        sent |= signal_foreground(child, number);
    return sent;
}

bool child_signal_alone(const struct child *child, int number)
{
    return !may_signal(child) || kill(child->pid, number) == 0 || errno != EPERM;
}

bool child_has_signal(struct child *child, int number, int64_t since_ms)
{
    bool told, early;

    if (number <= 0 || number >= CHILD_SIGNALS || !may_signal(child))
        return false;
    told = child->signalled_ms[number] >= since_ms;
    early = !told && process_has_pending(child->monitor, number);
    child->signalled_ms[number] = 0;
    child->found_early[number] |= early;
    return (told || early) && process_same_cgroup(child->pid, child->monitor);
}

bool child_has_other_rights(const struct child *child)
{
    uid_t user = may_signal(child) && geteuid() != 0 ? process_user(child->pid) : (uid_t)-1;

    return user != (uid_t)-1 && user != geteuid();
}

void child_hang_up(struct child *child)
{
    if (!child->session || child->adopted)
        return;
#ifdef PR_SET_CHILD_SUBREAPER
    /* on failure the end of the command stays unknown */
    prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
#endif
    child->adopted = true;
    child_release(child);
}

bool child_reaped(struct child *child, pid_t pid, int status)
{
    if (pid == child->monitor)
        child->monitor = -1;
    else if (pid == child->pid && child->adopted)
        set_end(child, status, false);
    else
        return false;
    return true;
}

void child_reap(struct child *child)
{
    int status;
    pid_t pid;

    if (!child->adopted || child->ended)
        return;
    if (child->monitor > 0 && waitpid(child->monitor, &status, WNOHANG) != 0)
        child->monitor = -1;
    pid = waitpid(child->pid, &status, WNOHANG);
    if (pid == child->pid)
        set_end(child, status, false);
    else if (pid < 0 && errno == ECHILD && child->monitor < 0)
        set_end(child, SIGKILL, true); /* another process is the command's parent now */
}

void child_release(struct child *child)
{
    close_fd(&child->channel);
}

void child_wait(struct child *child)
{
    /* The monitor must end first: if the pty were closed while the monitor leads the session, the
     * monitor's exit would hang up on processes that the command left running. */
    child_release(child);
    while (child->monitor > 0 && waitpid(child->monitor, NULL, 0) < 0 && errno == EINTR)
        ;
    child->monitor = -1;
}

void child_close(struct child *child)
{
    int saved = errno;

    child_wait(child);
    close_fd(&child->report);
    close_fd(&child->master);
    close_fd(&child->out);
    close_fd(&child->err);
    errno = saved;
}
