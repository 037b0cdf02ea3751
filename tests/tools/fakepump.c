/* A pump without a command: standard input is the output of a run. Starts the helpers as
   docs/helpers.md describes, prints the run's id and the helpers' process ids on stdout and their
   messages on stderr, ends the run at the end of stdin with the status in its second argument, and
   waits for the helpers. For tests of the helpers alone.

     fakepump /path/to/nixfleet-report STATUS */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "../../common/io.h"
#include "../../common/secrets.h"
#include "../../config/config.h"

extern char **environ;

struct helper {
    pid_t pid;
    int wake_fd;
};

static void place(int fd, int at)
{
    if (fd < 0)
        close(at);
    else if (dup2(fd, at) < 0)
        _exit(120);
}

static struct helper start(const char *report, const char *mode, char **environment,
                           const struct run_log *log, int tell_fd)
{
    struct helper helper;
    int pipe_fds[2];

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        exit(121);
    helper.wake_fd = pipe_fds[1];
    helper.pid = fork();
    if (helper.pid == 0) {
        char *argv[] = {(char *)report, (char *)mode, NULL};
        int null = open("/dev/null", O_RDWR), base = 20;
        int fds[] = {log->page_fd, pipe_fds[0], tell_fd, log->acks_write};

        for (int i = 0; i < 4; i++)
            fds[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, base);
        place(null, 0);
        place(null, 1);
        for (int i = 0; i < 4; i++)
            place(fds[i], 3 + i);
        closefrom(7);
        execve(report, argv, environment);
        _exit(122);
    }
    close(pipe_fds[0]);
    return helper;
}

static void copy(struct run_log *log, struct helper *shipper, int tell_fd, bool *stop)
{
    static char bytes[65536];
    struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = tell_fd, .events = POLLIN}};

    while (!*stop && poll(fds, 2, -1) >= 0) {
        if (fds[1].revents) {
            ssize_t n = read(tell_fd, bytes, sizeof bytes);

            if (n > 0)
                (void)!write(2, bytes, (size_t)n);
            *stop = n > 0 && memchr(bytes, 'S', 1);
        }
        if (fds[0].revents) {
            ssize_t n = read(0, bytes, sizeof bytes);

            if (n <= 0)
                return;
            run_log_append(log, bytes, (size_t)n);
            if (atomic_exchange(&log->page->wake_wanted, 0))
                (void)!write(shipper->wake_fd, "", 1);
        }
    }
}

/* Waits until both have ended, or the heartbeat has ended and the shipper continues alone. */
static void hear_the_rest(int tell_fd, pid_t heartbeat)
{
    char text[512];
    ssize_t n;
    bool alone = false;

    while (!alone && (n = read(tell_fd, text, sizeof text)) > 0) {
        (void)!write(2, text, (size_t)n);
        alone = text[n - 1] == 'A'; /* its last message */
    }
    if (alone)
        waitpid(heartbeat, NULL, 0);
    else
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            ;
}

int main(int argc, char **argv)
{
    char error[CONFIG_ERROR_SIZE], *only_name[] = {argv[0], (char *)"true", NULL};
    char *command[] = {(char *)"fake", (char *)"command", NULL};
    struct config config;
    struct run_log log;
    struct log_plan plan = {
        .info = {.argv = command, .rows = 24, .cols = 80, .stream = true, .cwd = (char *)"/"}};
    struct run_info *info = &plan.info;
    struct secrets secrets;
    int tell[2];
    bool stop = false;
    struct helper shipper, heartbeat;
    int code = argc > 2 ? atoi(argv[2]) : 0;

    if (argc < 2 || config_load(&config, 2, only_name, error) < 0)
        return 125;
    signal(SIGPIPE, SIG_IGN); /* like the pump, because a helper may die at any moment */
    info->started_ms = wall_ms();
    info->pid = getpid();
    run_id_make(info->started_ms, info->id);
    info->url = config.url;
    memcpy(info->host, config.host, sizeof info->host);
    strcpy(info->name, "test");
    strcpy(info->user, "tester");
    secrets_init(&secrets);
    free(secrets_add_all(&secrets, environ, command, config.redact));
    info->secrets = secrets_format(&secrets);
    plan.dir = config.state_dir;
    plan.keep = (struct run_bounds){(size_t)config.keep_runs, (int64_t)config.keep_days * DAY_MS,
                                    config.keep_bytes};
    if (run_log_open(&log, &plan) < 0 || pipe2(tell, O_CLOEXEC) < 0)
        return 124;
    shipper = start(argv[1], "ship", config_environment(&config, environ), &log, tell[1]);
    heartbeat = start(argv[1], "heartbeat", config_environment(&config, environ), &log, tell[1]);
    close(tell[1]);
    printf("%s %d %d\n", info->id, (int)shipper.pid, (int)heartbeat.pid);
    fflush(stdout);
    copy(&log, &shipper, tell[0], &stop);
    run_log_end(&log, STATUS_EXITED, code);
    close(shipper.wake_fd);
    close(heartbeat.wake_fd);
    run_log_wait(&log, monotonic_ms() + 20000);
    run_log_close(&log);
    hear_the_rest(tell[0], heartbeat.pid);
    _exit(code); /* nothing is freed, because this is only a tool */
}
