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
#include "runrecord.h"

#define SETTING "json-log-path"
#define FIRST_MAJOR 2 /* the first version with the setting: 2.30 */
#define FIRST_MINOR 30
#define ASK_MS 10000 /* nobody waits for the answer */
#define ANSWER_SIZE 256
#define CONFIG_MAX ((size_t)1 << 20) /* bytes of a nix.conf */
/* bytes of nix-versions that are read */
#define MEMORY_MAX ((size_t)64 << 10)
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

/* The answer is "nix (Nix) 2.34.8" or "nix (Determinate Nix 3.8.1) 2.30.1". Lix has other version
 * numbers, and not the setting. */
static bool has_setting(const char *answer)
{
    const char *version = strrchr(answer, ')');
    int major = 0, minor = 0;

    if (strncmp(answer, "nix (", 5) != 0 || !version || strstr(answer, "Lix") ||
        sscanf(version, ") %d.%d", &major, &minor) != 2)
        return false;
    return major > FIRST_MAJOR || (major == FIRST_MAJOR && minor >= FIRST_MINOR);
}

/* ---- the file nix-versions: lines "IDENTITY yes", "IDENTITY no" ---- */

/* Returns 1 for yes, 0 for no, -1 if the file does not say. */
static int remembered(const char *memory, const char *id)
{
    AUTO_CLOSE int fd = open(memory, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
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
    AUTO_CLOSE int fd =
        open(memory, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600);
    AUTO_FREE char *line = NULL;
    int length = asprintf(&line, "%s %s\n", id, has ? "yes" : "no");

    if (fd >= 0 && length > 0 && write(fd, line, (size_t)length) != length)
        unlink(memory); /* an incomplete line would hide those that follow */
}

/* The nix that the command would find. */
struct nix {
    char *program, *id, *memory;
};

static bool nix_find(struct nix *nix, const char *dir)
{
    *nix = (struct nix){.program = find_nix()};
    return nix->program && (nix->id = identity(nix->program)) &&
           asprintf(&nix->memory, "%s/nix-versions", dir) >= 0;
}

static void nix_free(struct nix *nix)
{
    free(nix->program);
    free(nix->id);
    free(nix->memory);
}

/* As `remembered`; 0 if there is no nix. */
static int nix_has_setting(const char *dir)
{
    struct nix nix;
    int known = nix_find(&nix, dir) ? remembered(nix.memory, nix.id) : 0;

    nix_free(&nix);
    return known;
}

void nix_version_learn(const char *dir)
{
    char answer[ANSWER_SIZE];
    struct nix nix;

    if (run_directory_trusted(dir) && nix_find(&nix, dir)) {
        ask(nix.program, answer, sizeof answer);
        remember(nix.memory, nix.id, has_setting(answer));
    }
}

/* ---- the user's own setting ---- */

static bool text_sets(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\n");
        if (strncmp(line, SETTING, strlen(SETTING)) == 0)
            return true;
    }
    return false;
}

static bool file_sets(const char *dir, const char *name)
{
    AUTO_FREE char *path = NULL, *text = NULL;
    AUTO_CLOSE int fd = -1;

    if (!dir || asprintf(&path, "%s/%s", dir, name) < 0)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    text = is_file(fd) ? read_open_file(fd, CONFIG_MAX, NULL) : NULL;
    return text && text_sets(text);
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

char *nix_record_entry(const char *dir, const char *id, bool *ask)
{
    const char *config = getenv("NIX_CONFIG");
    AUTO_FREE char *path = NULL;
    char *entry;
    int known;

    *ask = false;
    /* In a value, nix takes '#' as a comment, and splits at blanks. */
    if (!dir || *dir != '/' || dir[strcspn(dir, "# \t\r\n")] || user_sets())
        return NULL;
    known = nix_has_setting(dir);
    *ask = known < 0;
    if (known != 1 || !run_directory_trusted(dir) || access(dir, W_OK) < 0 ||
        !(path = record_path(dir, id)) ||
        asprintf(&entry, "NIX_CONFIG=%s%s%s = %s", config ? config : "",
                 config && *config ? "\n" : "", SETTING, path) < 0)
        return NULL;
    return entry;
}

void nix_record_make(const char *dir, const char *id)
{
    AUTO_FREE char *path = record_path(dir, id);
    AUTO_CLOSE int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (fd >= 0)
        (void)fchmod(fd, 0600); /* nix was faster; the directory is closed to others anyway */
}

void nix_record_close(const char *dir, const char *id)
{
    AUTO_FREE char *path = record_path(dir, id);
    struct stat info;

    if (path && stat(path, &info) == 0 && info.st_size == 0)
        unlink(path);
}
