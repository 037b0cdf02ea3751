/* Asks systemd, by busctl, to put this process into a scope. systemd-run --scope does the same, but
   would have to start the command a second time if systemd refuses. org.freedesktop.systemd1(5),
   StartTransientUnit. */
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"

#define SCOPE_WAIT_MS 5000
#define SCOPE_STEP_MS 10
/* bytes that are kept of busctl's output */
#define SAID_MAX 120
struct manager {
    bool system;      /* the system's manager; else the user's */
    char runtime[64]; /* the user's runtime directory */
};

static bool in_group(const char *part)
{
    AUTO_FREE char *groups = read_file("/proc/self/cgroup", 65536, NULL);

    return groups && strstr(groups, part);
}

/* Reads the first line from fd, without blocking. */
static void first_line(int fd, char *said, size_t size)
{
    ssize_t got = read(fd, said, size - 1);

    said[got > 0 ? got : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
}

static void run_busctl(char *const arguments[], const struct manager *manager, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    if (!manager->system) {
        setenv("XDG_RUNTIME_DIR", manager->runtime, 1);
        unsetenv("DBUS_SESSION_BUS_ADDRESS"); /* this bus may have no systemd */
    }
    execvp(arguments[0], arguments);
    _exit(127);
}

/* Waits for busctl until the deadline. Returns 0 if busctl succeeded; else -1 with the reason in
   said, which holds busctl's output. */
static int wait_for_busctl(pid_t pid, int64_t deadline, char *said, size_t size)
{
    pid_t got;
    int status;

    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && monotonic_ms() < deadline)
        poll(NULL, 0, SCOPE_STEP_MS);
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        snprintf(said, size, "no answer");
        return -1;
    }
    if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(said, size, "busctl was not found");
    return -1;
}

/* Runs busctl. Returns 0 if it succeeded, with the first line of its output in said; else -1 with
   the reason in said. */
static int ask(char *const arguments[], const struct manager *manager, char *said, size_t size)
{
    int64_t deadline = monotonic_ms() + SCOPE_WAIT_MS;
    AUTO_CLOSE int in = -1;
    AUTO_CLOSE int out = -1;
    int ends[2], result;
    char line[SAID_MAX];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        snprintf(said, size, "%s", strerror(errno));
        return -1;
    }
    in = ends[0];
    out = ends[1];
    pid = fork();
    if (pid == 0)
        run_busctl(arguments, manager, out);
    if (pid < 0) {
        snprintf(said, size, "%s", strerror(errno));
        return -1;
    }
    said[0] = '\0';
    result = wait_for_busctl(pid, deadline, said, size);
    first_line(in, line, sizeof line);
    if (!said[0])
        snprintf(said, size, "%s", result == 0 || line[0] ? line : "refused");
    return result;
}

/* Whether the user's manager continues after the user's last session has ended (loginctl
 * enable-linger). */
static bool lingers(const struct manager *manager)
{
    char path[64], said[SAID_MAX];
    char *arguments[] = {"busctl",       "--system",
                         "get-property", "org.freedesktop.login1",
                         path,           "org.freedesktop.login1.User",
                         "Linger",       NULL};

    /* The path that logind's GetUser returns (org.freedesktop.login1(5)). */
    snprintf(path, sizeof path, "/org/freedesktop/login1/user/_%ld", (long)geteuid());
    return ask(arguments, manager, said, sizeof said) == 0 && strcmp(said, "b true") == 0;
}

static bool has_bus(const char *runtime)
{
    char path[96];

    snprintf(path, sizeof path, "%s/bus", runtime);
    return access(path, W_OK) == 0;
}

/* Finds the user's runtime directory. A system service with User= has no XDG_RUNTIME_DIR, and after
   `sudo -E` the variable belongs to another user. */
static bool find_runtime(char *runtime, size_t size)
{
    const char *named = getenv("XDG_RUNTIME_DIR");

    if (named && *named == '/' && strlen(named) < size) {
        snprintf(runtime, size, "%s", named);
        if (has_bus(runtime))
            return true;
    }
    snprintf(runtime, size, "/run/user/%ld", (long)geteuid());
    return has_bus(runtime);
}

/* Finds the manager that can make the scope. Returns 0; or -1 with a sentence in error if no
   manager would outlive this process. */
static int find_manager(struct manager *manager, char *error, size_t size)
{
    char service[48];
    struct stat info;
    long user = (long)geteuid();

    if (stat("/run/systemd/system", &info) < 0) {
        snprintf(error, size, "no scope: systemd does not run here");
        return -1;
    }
    manager->system = user == 0;
    if (manager->system)
        return 0;
    if (!find_runtime(manager->runtime, sizeof manager->runtime)) {
        snprintf(error, size,
                 "no scope: user %ld has no systemd manager (no %s/bus): enable lingering, see "
                 "nixfleet-run(1)",
                 user, manager->runtime);
        return -1;
    }
    /* Without lingering, systemd ends the user's manager and its scopes soon after the user's last
       session. A run in a session or in a system service would then live shorter in a scope. */
    snprintf(service, sizeof service, "/user@%ld.service/", user);
    if (in_group(service) || lingers(manager))
        return 0;
    snprintf(error, size,
             "no scope: user %ld does not linger, so a scope would end with the user's last "
             "session: enable lingering, see nixfleet-run(1)",
             user);
    return -1;
}

/* Moves this process into a new scope. Returns 0, or -1 with a sentence in error. */
static int make_scope(const struct manager *manager, const char *run_id, const char *label,
                      char *error, size_t size)
{
    char unit[96], pid[16], description[128], said[SAID_MAX];
    char *arguments[] = {"busctl",
                         manager->system ? "--system" : "--user",
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
    int64_t deadline;

    snprintf(unit, sizeof unit, "nixfleet-run-%s.scope", run_id);
    snprintf(description, sizeof description, "nixfleet-run: %s", label);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ask(arguments, manager, said, sizeof said) < 0) {
        snprintf(error, size, "no scope: systemd did not make one (%s)", said);
        return -1;
    }
    for (deadline = monotonic_ms() + SCOPE_WAIT_MS; !in_group(unit) && monotonic_ms() < deadline;)
        poll(NULL, 0, SCOPE_STEP_MS); /* the job ends a moment after the answer */
    if (in_group(unit))
        return 0;
    snprintf(error, size, "no scope: this process was not moved into %s", unit);
    return -1;
}

int scope_enter(const char *run_id, const char *label, char *error, size_t size)
{
    struct manager manager;

    return find_manager(&manager, error, size) < 0
               ? -1
               : make_scope(&manager, run_id, label, error, size);
}
