/* Starts, restarts, wakes and ends the helpers, and reads their messages. */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "self.h"
#include "signals.h"

#define STARTS_MAX 6 /* starts of one helper in a run; a helper that dies this often is broken */
#define KILLED_MS 100
/* pause after the first death; doubled after each further death */
#define RESTART_MS 500
static char *usable(char *path)
{
    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *helpers_find_program(void)
{
    static const char *const places[] = {"", "/../libexec/nixfleet"};
    const char *given = getenv("NIXFLEET_REPORT");
    AUTO_FREE char *directory = NULL;
    char *found;

    if (given && *given)
        return usable(strdup(given));
    directory = self_directory();
    for (size_t i = 0; directory && i < sizeof places / sizeof *places; i++) {
        char *path;

        if (asprintf(&path, "%s%s/nixfleet-report", directory, places[i]) < 0)
            path = NULL;
        if ((found = usable(path)))
            return found;
    }
    return usable(strdup(LIBEXECDIR "/nixfleet-report"));
}

/* Neither side waits at the control pipe, and the command does not inherit it. */
static int prepare(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : fcntl(fd, F_SETFL, O_NONBLOCK);
}

void helpers_init(struct helpers *helpers, char *program, char **environment,
                  const struct run_log *log)
{
    int ends[2] = {-1, -1};

    *helpers = (struct helpers){
        .program = program,
        .environment = environment,
        .log = log,
        .one = {{.pid = -1, .pipe = -1}, {.pid = -1, .pipe = -1}},
    };
    if (pipe(ends) < 0 || prepare(ends[0]) < 0 || prepare(ends[1]) < 0) {
        /* better no control pipe, and no messages of the helpers, than a pipe that can block */
        close_fd(&ends[0]);
        close_fd(&ends[1]);
    }
    helpers->control_read = ends[0];
    helpers->control_write = ends[1];
}

/* Moves fds[i] to descriptor 3 + i, or closes that number if fds[i] is -1. First moves all of them
   out of the way. */
static void place(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0)
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + count);
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0)
            dup2(fds[i], 3 + i);
        else
            close(3 + i);
    }
}

/* Runs in the new process. Never returns. */
static void run_helper(struct helpers *helpers, int which, int pipe_end)
{
    static char *const modes[] = {"ship", "heartbeat"};
    char *arguments[] = {"nixfleet-report", modes[which], NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[] = {helpers->log->page_fd, pipe_end, helpers->control_write,
                 which == HELPER_SHIPPER ? helpers->log->acks_write : -1};

    setsid();
    signals_restore();
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        /* the caller may wait until all processes have closed our standard error */
        dup2(null, STDERR_FILENO);
    }
    place(fds, sizeof fds / sizeof *fds);
    execve(helpers->program, arguments, helpers->environment);
    _exit(127);
}

static void start_one(struct helpers *helpers, int which)
{
    struct helper *helper = &helpers->one[which];
    int ends[2];

    helper->restart_ms = 0;
    helper->last_start = helpers->run_ended;
    if (!helpers->program || helpers->log->page_fd < 0 || helper->starts >= STARTS_MAX)
        return;
    helper->starts++;
    if (pipe(ends) < 0) {
        helpers_problem(helpers, "no pipe for a helper: %s", strerror(errno));
        return;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    helper->pid = fork();
    if (helper->pid == 0)
        run_helper(helpers, which, ends[0]);
    close(ends[0]);
    if (helper->pid < 0) {
        close(ends[1]);
        helpers_problem(helpers, "no process for a helper: %s", strerror(errno));
        return;
    }
    helper->pipe = ends[1];
    if (helpers->run_ended)
        close_fd(&helper->pipe);
}

void helpers_start(struct helpers *helpers)
{
    for (int i = 0; i < HELPER_COUNT; i++)
        start_one(helpers, i);
}

void helpers_reaped(struct helpers *helpers, pid_t pid, int status)
{
    for (int i = 0; i < HELPER_COUNT; i++) {
        struct helper *helper = &helpers->one[i];

        if (helper->pid != pid)
            continue;
        helper->pid = -1;
        close_fd(&helper->pipe);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
            helpers_problem(helpers, "%s could not be run: the run is only logged",
                            helpers->program);
        else if ((WIFSIGNALED(status) || WEXITSTATUS(status) != 0) && !helper->last_start)
            helper->restart_ms =
                monotonic_ms() +
                (helpers->run_ended ? 0 : (int64_t)RESTART_MS << (helper->starts - 1));
    }
}

int64_t helpers_tick(struct helpers *helpers)
{
    int64_t now = monotonic_ms(), next = -1;

    for (int i = 0; i < HELPER_COUNT; i++) {
        struct helper *helper = &helpers->one[i];

        if (helper->restart_ms == 0)
            continue;
        if (now >= helper->restart_ms)
            start_one(helpers, i);
        else if (next < 0 || helper->restart_ms - now < next)
            next = helper->restart_ms - now;
    }
    return next;
}

/* Takes one message: 'S' or 'A' alone, or 'P' and a text. */
static void take_line(struct helpers *helpers)
{
    helpers->partial[helpers->partial_length] = '\0';
    if (helpers->partial[0] == 'P' && helpers->partial_length > 1)
        helpers_problem(helpers, "%s", helpers->partial + 1);
    helpers->partial_length = 0;
}

static void take_byte(struct helpers *helpers, char byte)
{
    if (byte == 'S' && helpers->partial_length == 0)
        helpers->stop_asked = true;
    else if (byte == 'A' && helpers->partial_length == 0)
        helpers->one[HELPER_SHIPPER].alone = true;
    else if (byte == '\n')
        take_line(helpers);
    else if (helpers->partial_length < sizeof helpers->partial - 1)
        helpers->partial[helpers->partial_length++] = byte;
}

void helpers_read_control(struct helpers *helpers)
{
    char bytes[512];
    ssize_t n;

    while ((n = read(helpers->control_read, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++)
            take_byte(helpers, bytes[i]);
}

void helpers_wake(struct helpers *helpers)
{
    int fd = helpers->one[HELPER_SHIPPER].pipe;

    if (fd < 0 || !atomic_load_explicit(&helpers->log->page->wake_wanted, memory_order_seq_cst))
        return;
    atomic_store(&helpers->log->page->wake_wanted, 0);
    if (write(fd, "p", 1) < 0) {
        /* A full pipe already wakes the helper. After a broken pipe, SIGCHLD reports the death. */
    }
}

void helpers_problem(struct helpers *helpers, const char *format, ...)
{
    va_list arguments;
    char text[sizeof helpers->partial];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' '; /* text from a server must not control the terminal */
    for (size_t i = 0; i < helpers->problem_count; i++)
        if (strcmp(helpers->problems[i], text) == 0)
            return;
    if (helpers->problem_count < HELPERS_PROBLEMS_MAX &&
        (helpers->problems[helpers->problem_count] = strdup(text)))
        helpers->problem_count++;
}

void helpers_run_ended(struct helpers *helpers)
{
    helpers->run_ended = true;
    for (int i = 0; i < HELPER_COUNT; i++) {
        close_fd(&helpers->one[i].pipe);
        if (helpers->one[i].restart_ms) /* start the helper at once for the last time */
            helpers->one[i].restart_ms = monotonic_ms();
    }
}

bool helpers_running(const struct helpers *helpers)
{
    for (int i = 0; i < HELPER_COUNT; i++)
        if ((helpers->one[i].pid > 0 && !helpers->one[i].alone) || helpers->one[i].restart_ms)
            return true;
    return false;
}

/* A process that waits for a disk dies when the disk answers, so the wait for it is limited. */
static void wait_for_killed(pid_t pid)
{
    for (int i = 0; i < KILLED_MS && waitpid(pid, NULL, WNOHANG) == 0; i++)
        (void)poll(NULL, 0, 1);
}

void helpers_kill(struct helpers *helpers)
{
    for (int i = 0; i < HELPER_COUNT; i++) {
        struct helper *helper = &helpers->one[i];

        helper->restart_ms = 0;
        if (helper->pid <= 0 || helper->alone)
            continue;
        kill(helper->pid, SIGKILL);
        wait_for_killed(helper->pid);
        helper->pid = -1;
    }
}

void helpers_free(struct helpers *helpers)
{
    helpers_run_ended(helpers);
    close_fd(&helpers->control_read);
    close_fd(&helpers->control_write);
    for (size_t i = 0; i < helpers->problem_count; i++)
        free(helpers->problems[i]);
    free(helpers->program);
    for (char **entry = helpers->environment; entry && *entry; entry++)
        free(*entry);
    free(helpers->environment);
}
