#include "nixversion.h"

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
#include "nixmemory.h"

#define FIRST_MAJOR 2 /* the first version with the setting: 2.30 */
#define FIRST_MINOR 30
#define ASK_MS 10000 /* may be long, because no process waits for the answer */
#define ANSWER_SIZE 256
#define MEMORY_NAME "nix-versions"
#define MEMORY_MAX 65536 /* bytes of nix-versions that are read */
#define STORE "/nix/store/"
#define STORE_HASH 33 /* characters before the name in a store path, with the hyphen */

/* ---- which nix ---- */

/* The program that the command would find. The caller frees the path. NULL: none. */
static char *find_nix(void)
{
    const char *path = getenv("PATH");

    while (path && *path) {
        size_t length = strcspn(path, ":");
        AUTO_FREE char *candidate = NULL;

        if (length > 0 && *path == '/' &&
            asprintf(&candidate, "%.*s/nix", (int)length, path) >= 0 &&
            access(candidate, X_OK) == 0)
            return realpath(candidate, NULL);
        path += length + (path[length] == ':');
    }
    return NULL;
}

/* The identity of a program: another version has another path, size or time. The caller frees the
 * text. NULL: there is no such file. */
static char *identity(const char *program)
{
    struct stat info;
    char *id;

    if (stat(program, &info) < 0 || !S_ISREG(info.st_mode) || strchr(program, '\n') ||
        asprintf(&id, "%llx:%llx.%lx:%s", (unsigned long long)info.st_size,
                 (unsigned long long)info.st_mtim.tv_sec, (unsigned long)info.st_mtim.tv_nsec,
                 program) < 0)
        return NULL;
    return id;
}

/* ---- its version ---- */

/* Runs nix with its output to the pipe. Only calls that are allowed after a fork. */
static void become_nix(const char *program, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(127);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* fails for SIGKILL and SIGSTOP */
    execl(program, "nix", "--version", (char *)NULL);
    _exit(127);
}

static void read_answer(int fd, char *answer, size_t size)
{
    int64_t until = monotonic_ms() + ASK_MS, left;
    size_t have = 0;

    while (have + 1 < size && (left = until - monotonic_ms()) > 0) {
        struct pollfd ready = {fd, POLLIN, 0};
        ssize_t n;

        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        n = read(fd, answer + have, size - 1 - have);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            break;
        have += n > 0 ? (size_t)n : 0;
    }
    answer[have] = '\0';
}

static void ask(const char *program, char *answer, size_t size)
{
    int ends[2];
    pid_t child;

    answer[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    child = fork();
    if (child == 0)
        become_nix(program, ends[1]);
    close(ends[1]);
    if (child > 0) {
        read_answer(ends[0], answer, size);
        kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
}

static bool new_enough(int major, int minor)
{
    return major > FIRST_MAJOR || (major == FIRST_MAJOR && minor >= FIRST_MINOR);
}

/* The answer is "nix (Nix) 2.34.8" or "nix (Determinate Nix 3.8.1) 2.30.1". Lix has other version
 * numbers, and not the setting. */
static bool has_setting(const char *answer)
{
    const char *version = strrchr(answer, ')');
    int major = 0, minor = 0;

    if (strncmp(answer, "nix (", 5) != 0 || !version || strstr(answer, "Lix") ||
        sscanf(version, ") %d.%d", &major, &minor) != 2)
        return false;
    return new_enough(major, minor);
}

int nix_version_of_path(const char *program)
{
    static const char *const names[] = {"nix-", "nix-cli-"};
    int major = 0, minor = 0;

    if (strncmp(program, STORE, strlen(STORE)) != 0 || strlen(program) < strlen(STORE) + STORE_HASH)
        return -1;
    program += strlen(STORE) + STORE_HASH;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(program, names[i], strlen(names[i])) == 0 &&
            sscanf(program + strlen(names[i]), "%d.%d", &major, &minor) == 2)
            return new_enough(major, minor);
    return -1;
}

/* ---- the file nix-versions: lines "IDENTITY yes", "IDENTITY no" ---- */

/* Returns 1 for yes, 0 for no, -1 if the file does not say. */
static int remembered(const char *id)
{
    AUTO_CLOSE int dir = nix_memory_open();
    AUTO_CLOSE int fd = dir < 0 ? -1
                                : openat(dir, MEMORY_NAME,
                                         O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
    AUTO_FREE char *text = fd < 0 ? NULL : calloc(1, MEMORY_MAX + 1);
    ssize_t size = text ? read(fd, text, MEMORY_MAX) : -1;
    size_t length = strlen(id);

    for (char *line = text; size > 0 && line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, id, length) == 0 && line[length] == ' ')
            return strncmp(line + length + 1, "yes\n", 4) == 0;
    }
    return -1;
}

static void remember(const char *id, bool has)
{
    static const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
    AUTO_CLOSE int dir = nix_memory_open();
    AUTO_CLOSE int fd = dir < 0 ? -1 : openat(dir, MEMORY_NAME, flags, 0600);
    AUTO_FREE char *line = NULL;
    int length = asprintf(&line, "%s %s\n", id, has ? "yes" : "no");
    struct stat info;

    if (fd < 0 || length < 0)
        return;
    if (write(fd, line, (size_t)length) != length || fstat(fd, &info) < 0 ||
        info.st_size > MEMORY_MAX)
        unlinkat(dir, MEMORY_NAME,
                 0); /* an incomplete line, or one that is not read, hides those that follow */
}

int nix_has_setting(void)
{
    AUTO_FREE char *program = find_nix();
    AUTO_FREE char *id = NULL;
    int known = program ? nix_version_of_path(program) : 0;

    if (known < 0 && (id = identity(program)))
        known = remembered(id);
    return known;
}

void nix_version_learn(void)
{
    AUTO_FREE char *program = find_nix();
    AUTO_FREE char *id = program ? identity(program) : NULL;
    char answer[ANSWER_SIZE];

    if (!id)
        return;
    ask(program, answer, sizeof answer);
    remember(id, has_setting(answer));
}
