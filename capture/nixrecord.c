#include "nixrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include "aside.h"
#include "runrecord.h"

#define SETTING "json-log-path"
#define FIRST_MAJOR 2 /* the first version with it: 2.30 */
#define FIRST_MINOR 30
#define ASK_MS 2000
#define PREPARE_MS 2000 /* for the files */
#define ANSWER_SIZE 256
#define MEMORY_MAX ((size_t)64 << 10) /* bytes of nix-versions that are looked at */

/* ---- which nix ---- */

/* The program that the command would find; caller frees. NULL: there is none. */
static char *find_nix(void)
{
    const char *path = getenv("PATH");
    char candidate[PATH_MAX];

    while (path && *path) {
        size_t length = strcspn(path, ":");

        if (length > 0 && *path == '/' &&
            snprintf(candidate, sizeof candidate, "%.*s/nix", (int)length, path) <
                (int)sizeof candidate &&
            access(candidate, X_OK) == 0)
            return realpath(candidate, NULL);
        path += length + (path[length] == ':');
    }
    return NULL;
}

/* What identifies a program: another version is another file. */
static bool identity(const char *program, char *out, size_t size)
{
    struct stat info;

    return stat(program, &info) == 0 && S_ISREG(info.st_mode) &&
           snprintf(out, size, "%llx:%llx:%llx:%llx", (unsigned long long)info.st_dev,
                    (unsigned long long)info.st_ino, (unsigned long long)info.st_size,
                    (unsigned long long)info.st_mtime) < (int)size;
}

/* ---- its version ---- */

/* Writes its answer into the pipe. In the child: only what may be called after a fork. */
static void become_nix(const char *program, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(127);
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

/* "nix (Nix) 2.34.8", "nix (Determinate Nix 3.8.1) 2.30.1"; Lix counts otherwise, and lacks it. */
static bool has_setting(const char *answer)
{
    const char *version = strrchr(answer, ')');
    int major = 0, minor = 0;

    if (strncmp(answer, "nix (", 5) != 0 || !version || strstr(answer, "Lix") ||
        sscanf(version, ") %d.%d", &major, &minor) != 2)
        return false;
    return major > FIRST_MAJOR || (major == FIRST_MAJOR && minor >= FIRST_MINOR);
}

/* ---- what is remembered: lines "IDENTITY yes", "IDENTITY no" ---- */

/* 1, 0, or -1: it was not asked yet. */
static int remembered(const char *memory, const char *id)
{
    AUTO_CLOSE int fd = open(memory, O_RDONLY | O_CLOEXEC);
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

static void remember(const char *memory, const char *id, bool has)
{
    AUTO_CLOSE int fd = open(memory, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    char line[128];
    int length = snprintf(line, sizeof line, "%s %s\n", id, has ? "yes" : "no");

    if (fd >= 0 && write(fd, line, (size_t)length) != length)
        unlink(memory); /* half a line would hide those that follow */
}

static bool nix_has_setting(const char *dir)
{
    AUTO_FREE char *program = find_nix(), *memory = NULL;
    char id[96], answer[ANSWER_SIZE];
    int known;

    if (!program || !identity(program, id, sizeof id) ||
        asprintf(&memory, "%s/nix-versions", dir) < 0)
        return false;
    known = remembered(memory, id);
    if (known < 0) {
        ask(program, answer, sizeof answer);
        known = has_setting(answer);
        remember(memory, id, known);
    }
    return known;
}

/* ---- what the user has set ---- */

static bool file_sets(const char *dir, const char *name)
{
    AUTO_FREE char *path = NULL, *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file;

    if (!dir || asprintf(&path, "%s/%s", dir, name) < 0 || !(file = fopen(path, "re")))
        return false;
    while (!found && getline(&line, &room, file) >= 0)
        found = strncmp(line + strspn(line, " \t"), SETTING, strlen(SETTING)) == 0;
    fclose(file);
    return found;
}

static bool user_sets(void)
{
    const char *config = getenv("NIX_CONFIG"), *dir = getenv("NIX_CONF_DIR");

    return (config && strstr(config, SETTING)) ||
           file_sets(dir && *dir ? dir : "/etc/nix", "nix.conf") ||
           file_sets(getenv("XDG_CONFIG_HOME"), "nix/nix.conf") ||
           file_sets(getenv("HOME"), ".config/nix/nix.conf");
}

/* ---- the entry ---- */

static char *record_path(const char *dir, const char *id)
{
    char *path;

    return asprintf(&path, "%s/%s.nix", dir, id) < 0 ? NULL : path;
}

struct place {
    const char *dir, *id;
};

/* Writes the path of the record, if the command can have one. */
static void prepare_aside(void *context, int out)
{
    const struct place *place = context;
    char *path;
    int fd;

    if (user_sets() || run_dir_make(place->dir) < 0 || !nix_has_setting(place->dir) ||
        !(path = record_path(place->dir, place->id)))
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && write_all(out, path, strlen(path)) < 0)
        unlink(path);
}

char *nix_record_entry(const char *dir, const char *id)
{
    const char *config = getenv("NIX_CONFIG");
    struct place place = {dir, id};
    AUTO_FREE char *path = NULL;
    char *entry;

    /* nix ends a value at a '#', and splits it at blanks. */
    if (!dir || *dir != '/' || dir[strcspn(dir, "# \t\r\n")])
        return NULL;
    path = run_aside(prepare_aside, &place, ASK_MS + PREPARE_MS);
    if (!path || !*path ||
        asprintf(&entry, "NIX_CONFIG=%s%s%s = %s", config ? config : "",
                 config && *config ? "\n" : "", SETTING, path) < 0)
        return NULL;
    return entry;
}

static void close_aside(void *context, int out)
{
    const struct place *place = context;
    char *path = record_path(place->dir, place->id);
    struct stat info;

    (void)out;
    if (path && stat(path, &info) == 0 && info.st_size == 0)
        unlink(path);
}

void nix_record_close(const char *dir, const char *id)
{
    struct place place = {dir, id};

    free(run_aside(close_aside, &place, PREPARE_MS));
}
