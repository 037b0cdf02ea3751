#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/json_read.h"
#include "closure.h"

#define OUTPUT_MAX ((size_t)8 << 20) /* bytes in an answer of nix-store */
#define NIX_STORE_NICE 5  /* with 19, a busy machine leaves no processor time within CHANGES_MS */
#define SIZES_AT_ONCE 500 /* paths in one query */
#define CHANGES_DEPTH 4   /* open arrays and objects in the text */

/* ---- nix-store ---- */

static const char *nix_store(void)
{
    static const char *const places[] = {"/run/current-system/sw/bin/nix-store",
                                         "/nix/var/nix/profiles/default/bin/nix-store"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return "nix-store"; /* found by PATH */
}

static void become_nix_store(char **arguments, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpriority(PRIO_PROCESS, 0, NIX_STORE_NICE);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(127);
    execvp(arguments[0], arguments);
    _exit(127);
}

/* Reads until the end of file. NULL if the time is over, or the text is too long. */
static char *read_until(int fd, int64_t until_ms)
{
    size_t size = 0, capacity = 1 << 16;
    char *text = malloc(capacity);

    while (text) {
        struct pollfd ready = {fd, POLLIN, 0};
        int64_t left = until_ms - monotonic_ms();
        ssize_t n;

        if (left <= 0 || size >= OUTPUT_MAX)
            break;
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        if (size + 4096 > capacity) {
            char *larger = realloc(text, capacity *= 2);
            if (!larger)
                break;
            text = larger;
        }
        n = read(fd, text + size, capacity - size - 1);
        if (n == 0) {
            text[size] = '\0';
            return text;
        }
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            break;
        size += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return NULL;
}

/* The output of nix-store with these arguments; NULL if it fails. The caller frees the result. */
static char *ask(char **arguments, int64_t until_ms)
{
    int ends[2], status = -1;
    char *text = NULL;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    child = fork();
    if (child == 0)
        become_nix_store(arguments, ends[1]);
    close(ends[1]);
    if (child > 0) {
        text = read_until(ends[0], until_ms);
        if (!text)
            kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    if (status == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- closures ---- */

static bool closure_read(struct closure *closure, const char *path, int64_t until_ms)
{
    char *arguments[] = {(char *)nix_store(), "-q", "--requisites", (char *)path, NULL};

    return closure_parse(closure, ask(arguments, until_ms));
}

/* The size of all paths in bytes; -1: not known. */
static int64_t size_of(char **path, size_t count, int64_t until_ms)
{
    char *arguments[SIZES_AT_ONCE + 4] = {(char *)nix_store(), "-q", "--size"};
    int64_t sum = 0;

    for (size_t from = 0; from < count; from += SIZES_AT_ONCE) {
        size_t some = count - from < SIZES_AT_ONCE ? count - from : SIZES_AT_ONCE;
        AUTO_FREE char *text = NULL;
        int64_t size;

        memcpy(arguments + 3, path + from, some * sizeof *path);
        arguments[3 + some] = NULL;
        text = ask(arguments, until_ms);
        size = text ? closure_sizes(text) : -1;
        if (size < 0 || size > INT64_MAX - sum)
            return -1;
        sum += size;
    }
    return sum;
}

static void compare(json_object *profile, const struct closure *old, const struct closure *new,
                    int64_t until_ms)
{
    AUTO_FREE char **gone = calloc(old->count + 1, sizeof *gone);
    AUTO_FREE char **come = calloc(new->count + 1, sizeof *come);
    size_t gone_count, come_count;
    int64_t less, more;

    if (!gone || !come)
        return;
    gone_count = closure_only_in(old, new, gone);
    come_count = closure_only_in(new, old, come);
    closure_put_packages(profile, gone, gone_count, come, come_count);
    less = size_of(gone, gone_count, until_ms);
    more = less < 0 ? -1 : size_of(come, come_count, until_ms);
    if (more >= 0)
        json_object_object_add(profile, "size", json_object_new_int64(more - less));
}

/* ---- profiles ---- */

static void put_text(json_object *object, const char *key, const char *text)
{
    if (*text)
        json_object_object_add(object, key, json_object_new_string(text));
}

/* The JSON of one line of ID.profiles. */
static json_object *profile_json(char *line, int64_t until_ms)
{
    char *field[5] = {0};
    json_object *profile;
    struct closure old = {0}, new = {0};

    for (int i = 0; i < 5 && line; i++)
        field[i] = strsep(&line, "\t");
    if (!field[4])
        return NULL;
    profile = json_object_new_object();
    put_text(profile, "profile", field[0]);
    put_text(profile, "old", field[1]);
    put_text(profile, "new", field[2]);
    put_text(profile, "old_generation", field[3]);
    put_text(profile, "new_generation", field[4]);
    if (*field[1] && closure_read(&old, field[1], until_ms) &&
        closure_read(&new, field[2], until_ms))
        compare(profile, &old, &new, until_ms);
    closure_free(&old);
    closure_free(&new);
    return profile;
}

static char *file_of(const char *dir, const char *id, const char *ending, size_t most)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;
    char *text;
    ssize_t size;

    if (asprintf(&path, "%s/%s.%s", dir, id, ending) < 0 ||
        (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 || !(text = malloc(most + 1)))
        return NULL;
    size = read(fd, text, most);
    if (size > 0) {
        text[size] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

/* Writes a temporary file and renames it, because other processes read the file. */
static void keep(const char *dir, const char *id, const char *text)
{
    AUTO_FREE char *path = NULL, *part = NULL;
    int fd;

    if (asprintf(&path, "%s/%s.changes", dir, id) < 0 || asprintf(&part, "%s.new", path) < 0)
        return;
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    if (write_all(fd, text, strlen(text)) < 0 || rename(part, path) < 0)
        unlink(part);
    close(fd);
}

static char *make(char *lines)
{
    int64_t until_ms = monotonic_ms() + CHANGES_MS;
    json_object *list = json_object_new_array();
    char *text = NULL;

    for (char *line; (line = strsep(&lines, "\n")) && *line;) {
        json_object *profile = profile_json(line, until_ms);
        if (profile)
            json_object_array_add(list, profile);
    }
    if (json_object_array_length(list) > 0)
        text = strdup(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(list);
    return text;
}

json_object *changes_parse(const char *text)
{
    struct json_problem problem;
    json_object *list;

    if (json_read(text, strlen(text), CHANGES_DEPTH, &list, &problem) < 0)
        return NULL;
    if (json_object_is_type(list, json_type_array))
        return list;
    json_object_put(list);
    return NULL;
}

char *changes_made(const char *dir, const char *id)
{
    char *text = dir ? file_of(dir, id, "changes", CHANGES_SIZE_MAX) : NULL;
    json_object *list = text ? changes_parse(text) : NULL;

    if (list) {
        json_object_put(list);
        return text;
    }
    free(text); /* a power cut damaged the file */
    return NULL;
}

bool changes_any(const char *dir, const char *id)
{
    AUTO_FREE char *path = NULL;

    return dir && asprintf(&path, "%s/%s.profiles", dir, id) >= 0 && access(path, R_OK) == 0;
}

char *changes_read(const char *dir, const char *id)
{
    char *text = changes_made(dir, id);
    AUTO_FREE char *lines = NULL;

    if (text || !dir || !(lines = file_of(dir, id, "profiles", (size_t)64 << 10)))
        return text;
    text = make(lines);
    if (text && strlen(text) < CHANGES_SIZE_MAX)
        keep(dir, id, text);
    return text;
}
