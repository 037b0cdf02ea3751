/* Asks systemd, by busctl, to adopt this process: what systemd-run --scope does, but without a
   second start of the command, so that a refusal costs nothing. org.freedesktop.systemd1(5),
   StartTransientUnit. */
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"

#define SCOPE_WAIT_MS 5000
#define SCOPE_STEP_MS 10

static int is_member(const char *unit)
{
    AUTO_FREE char *groups = read_file("/proc/self/cgroup", 65536, NULL);

    return groups && strstr(groups, unit);
}

/* 0: busctl ended well; -1 with error. */
static int ask(char *const arguments[], char *error, size_t size)
{
    int64_t deadline = monotonic_ms() + SCOPE_WAIT_MS;
    pid_t pid = fork(), got;
    int status;

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null >= 0)
            for (int fd = 0; fd < 3; fd++)
                dup2(null, fd);
        execvp(arguments[0], arguments);
        _exit(127);
    }
    if (pid < 0) {
        snprintf(error, size, "no scope: %s", strerror(errno));
        return -1;
    }
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && monotonic_ms() < deadline)
        poll(NULL, 0, SCOPE_STEP_MS);
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    snprintf(error, size, "no scope: systemd did not make one (%s)",
             got == 0 ? "no answer" : "refused");
    return -1;
}

int scope_enter(const char *run_id, char *error, size_t size)
{
    char unit[96], pid[16], description[96];
    char *manager = geteuid() == 0 ? "--system" : "--user";
    char *arguments[] = {"busctl",
                         manager,
                         "call",
                         "org.freedesktop.systemd1",
                         "/org/freedesktop/systemd1",
                         "org.freedesktop.systemd1.Manager",
                         "StartTransientUnit",
                         "ssa(sv)a(sa(sv))",
                         unit,
                         "fail",
                         "3",
                         "Description",
                         "s",
                         description,
                         "CollectMode",
                         "s",
                         "inactive-or-failed",
                         "PIDs",
                         "au",
                         "1",
                         pid,
                         "0",
                         NULL};
    struct stat info;
    int64_t deadline;

    if (stat("/run/systemd/system", &info) < 0) {
        snprintf(error, size, "no scope: systemd does not run here");
        return -1;
    }
    snprintf(unit, sizeof unit, "nixfleet-run-%s.scope", run_id);
    snprintf(description, sizeof description, "nixfleet-run %s", run_id);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ask(arguments, error, size) < 0)
        return -1;
    for (deadline = monotonic_ms() + SCOPE_WAIT_MS; !is_member(unit) && monotonic_ms() < deadline;)
        poll(NULL, 0, SCOPE_STEP_MS); /* the job is done a moment after its answer */
    if (is_member(unit))
        return 0;
    snprintf(error, size, "no scope: this process was not moved into %s", unit);
    return -1;
}
