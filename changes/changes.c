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

#define OUTPUT_MAX ((size_t)8 << 20) /* bytes in an answer of nix-store */
#define STORE_HASH 32
#define SIZES_AT_ONCE 500 /* paths in one query */

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

    (void)setpriority(PRIO_PROCESS, 0, 19);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(127);
    execvp(arguments[0], arguments);
    _exit(127);
}

/* Reads until the end of file. NULL if the time is over, or the text is too long. */
static char *read_until(int fd, int64_t until_ms)
{
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);

    while (text) {
        struct pollfd ready = {fd, POLLIN, 0};
        int64_t left = until_ms - monotonic_ms();
        ssize_t n;

        if (left <= 0 || size >= OUTPUT_MAX)
            break;
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        if (size + 4096 > room) {
            char *larger = realloc(text, room *= 2);
            if (!larger)
                break;
            text = larger;
        }
        n = read(fd, text + size, room - size - 1);
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

struct closure {
    char *text;  /* the answer, cut into its lines */
    char **path; /* sorted by name */
    size_t count;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool closure_read(struct closure *closure, const char *path, int64_t until_ms)
{
    char *arguments[] = {(char *)nix_store(), "-q", "--requisites", (char *)path, NULL};
    size_t lines = 0;

    *closure = (struct closure){.text = ask(arguments, until_ms)};
    for (char *at = closure->text; at && *at; at++)
        lines += *at == '\n';
    closure->path = lines ? calloc(lines, sizeof *closure->path) : NULL;
    if (!closure->path)
        return false;
    for (char *at = closure->text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = '\0';
        closure->path[closure->count++] = at;
    }
    qsort(closure->path, closure->count, sizeof *closure->path, by_text);
    return true;
}

static void closure_free(struct closure *closure)
{
    free(closure->path);
    free(closure->text);
}

/* Collects the paths that only `one` has. Returns their number. */
static size_t only_in(const struct closure *one, const struct closure *other, char **out)
{
    size_t count = 0, at = 0;

    for (size_t i = 0; i < one->count; i++) {
        while (at < other->count && strcmp(other->path[at], one->path[i]) < 0)
            at++;
        if (at == other->count || strcmp(other->path[at], one->path[i]) != 0)
            out[count++] = one->path[i];
    }
    return count;
}

/* The size of all paths in bytes; -1: not known. */
static int64_t size_of(char **path, size_t count, int64_t until_ms)
{
    char *arguments[SIZES_AT_ONCE + 4] = {(char *)nix_store(), "-q", "--size"};
    int64_t sum = 0;

    for (size_t from = 0; from < count; from += SIZES_AT_ONCE) {
        size_t some = count - from < SIZES_AT_ONCE ? count - from : SIZES_AT_ONCE;
        AUTO_FREE char *text = NULL;

        memcpy(arguments + 3, path + from, some * sizeof *path);
        arguments[3 + some] = NULL;
        text = ask(arguments, until_ms);
        if (!text)
            return -1;
        for (char *at = text, *end; *at; at = *end ? end + 1 : end) {
            sum += strtoll(at, &end, 10);
            end += strcspn(end, "\n");
        }
    }
    return sum;
}

/* ---- packages ---- */

/* A store path as name and version. Nix's rule: the version begins at the first dash that no letter
 * follows. */
struct package {
    const char *name, *version;
    size_t length; /* of the name */
};

static bool package_of(const char *path, struct package *package)
{
    const char *base = strrchr(path, '/');

    if (!base || strlen(base) < STORE_HASH + 3)
        return false;
    package->name = base + STORE_HASH + 2;
    package->length = strlen(package->name);
    package->version = package->name + package->length;
    for (const char *at = package->name; (at = strchr(at, '-')); at++) {
        if ((at[1] | 32) >= 'a' && (at[1] | 32) <= 'z')
            continue;
        package->length = (size_t)(at - package->name);
        package->version = at[1] ? at + 1 : at;
        break;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct package *one = a, *two = b;
    size_t least = one->length < two->length ? one->length : two->length;
    int order = memcmp(one->name, two->name, least);

    if (order == 0)
        order = (one->length > two->length) - (one->length < two->length);
    return order ? order : strcmp(one->version, two->version);
}

static size_t packages_of(char **path, size_t count, struct package *out)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        used += package_of(path[i], &out[used]);
    qsort(out, used, sizeof *out, by_name);
    return used;
}

static bool same_name(const struct package *one, const struct package *two)
{
    return one->length == two->length && memcmp(one->name, two->name, one->length) == 0;
}

/* Joins the versions of all packages with the name of package[from]. Returns the number of these
 * packages. */
static size_t versions(const struct package *package, size_t from, size_t count, char *out,
                       size_t size)
{
    size_t at = from, length = 0;

    out[0] = '\0';
    for (; at < count && same_name(&package[at], &package[from]); at++) {
        if (at > from && strcmp(package[at].version, package[at - 1].version) == 0)
            continue;
        if (length < size)
            length += (size_t)snprintf(out + length, size - length, "%s%s", at > from ? ", " : "",
                                       package[at].version);
    }
    return at - from;
}

static void put(json_object *list, const struct package *package, const char *old, const char *new)
{
    json_object *object = json_object_new_object();
    int length = (int)(package->length < 200 ? package->length : 200);

    json_object_object_add(object, "name", json_object_new_string_len(package->name, length));
    if (old)
        json_object_object_add(object, "old", json_object_new_string(old));
    if (new)
        json_object_object_add(object, "new", json_object_new_string(new));
    json_object_array_add(list, object);
}

/* Both lists are sorted. A name in only one list was added or removed. Another name has other
 * versions, or was only rebuilt. */
static void put_packages(json_object *profile, const struct package *old, size_t old_count,
                         const struct package *new, size_t new_count)
{
    json_object *list = json_object_new_array();
    int64_t rebuilt = 0, more = 0;
    size_t i = 0, j = 0;

    while (i < old_count || j < new_count) {
        char before[256], after[256];
        int order = i == old_count   ? 1
                    : j == new_count ? -1
                    : same_name(&old[i], &new[j])
                        ? 0
                        : by_name(&(struct package){old[i].name, "", old[i].length},
                                  &(struct package){new[j].name, "", new[j].length});
        const struct package *package = order <= 0 ? &old[i] : &new[j];

        if (order <= 0)
            i += versions(old, i, old_count, before, sizeof before);
        if (order >= 0)
            j += versions(new, j, new_count, after, sizeof after);
        if (order == 0 && strcmp(before, after) == 0)
            rebuilt++;
        else if (json_object_array_length(list) >= CHANGES_PACKAGES_MAX)
            more++;
        else
            put(list, package, order <= 0 ? before : NULL, order >= 0 ? after : NULL);
    }
    json_object_object_add(profile, "packages", list);
    json_object_object_add(profile, "rebuilt", json_object_new_int64(rebuilt));
    if (more > 0)
        json_object_object_add(profile, "more", json_object_new_int64(more));
}

static void compare(json_object *profile, const struct closure *old, const struct closure *new,
                    int64_t until_ms)
{
    AUTO_FREE char **gone = calloc(old->count + 1, sizeof *gone);
    AUTO_FREE char **come = calloc(new->count + 1, sizeof *come);
    AUTO_FREE struct package *before = calloc(old->count + 1, sizeof *before);
    AUTO_FREE struct package *after = calloc(new->count + 1, sizeof *after);
    size_t gone_count, come_count;
    int64_t less, more;

    if (!gone || !come || !before || !after)
        return;
    gone_count = only_in(old, new, gone);
    come_count = only_in(new, old, come);
    put_packages(profile, before, packages_of(gone, gone_count, before), after,
                 packages_of(come, come_count, after));
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

char *changes_made(const char *dir, const char *id)
{
    return dir ? file_of(dir, id, "changes", CHANGES_SIZE_MAX) : NULL;
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
