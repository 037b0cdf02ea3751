/* A run's record on disk, written by the pump: the log, its marks, its description and its end.
 * (Reading: runrecord.c.) */
#include "runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "runrecord.h"

#define LOCK_TRIES 100 /* a millisecond each */

char *run_dir(void)
{
    const char *given = getenv("NIXFLEET_STATE_DIR"), *systemd = getenv("LOGS_DIRECTORY");
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir = NULL;

    if (given && *given)
        return strdup(given);
    if (systemd && *systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (geteuid() == 0)
        return strdup("/var/log/nixfleet");
    if (state && *state)
        return asprintf(&dir, "%s/nixfleet", state) < 0 ? NULL : dir;
    if (home && *home)
        return asprintf(&dir, "%s/.local/state/nixfleet", home) < 0 ? NULL : dir;
    errno = ENOENT;
    return NULL;
}

int run_dir_make(const char *path)
{
    AUTO_FREE char *part = strdup(path);

    if (!part)
        return -1;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(part, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static char *file_path(const char *dir, const char *id, const char *ending)
{
    char *path;

    return asprintf(&path, "%s/%s.%s", dir, id, ending) < 0 ? NULL : path;
}

static void put_escaped(FILE *out, const char *value)
{
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c == '%' || *c < 0x20 || *c == 0x7f)
            fprintf(out, "%%%02X", *c);
        else
            putc(*c, out);
}

static void put_field(FILE *out, const char *key, const char *value)
{
    fprintf(out, "%s=", key);
    put_escaped(out, value ? value : "");
    putc('\n', out);
}

/* The text of ID.run; caller frees. */
static char *describe(const struct run_info *info, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    if (!out)
        return NULL;
    fprintf(out, "end=%*s\n", RUN_END_WIDTH, "");
    fprintf(out, "ack=%*s\n", RUN_ACK_WIDTH, "");
    put_field(out, "id", info->id);
    put_field(out, "host", info->host);
    put_field(out, "url", info->url);
    put_field(out, "name", info->name);
    put_field(out, "user", info->user);
    put_field(out, "log", info->log_path);
    put_field(out, "cwd", info->cwd);
    fprintf(out, "started=%lld\npid=%d\nrows=%u\ncols=%u\nstream=%d\n", (long long)info->started_ms,
            info->pid, info->rows, info->cols, info->stream);
    put_field(out, "secrets", info->secrets);
    for (char **argument = info->argv; argument && *argument; argument++)
        put_field(out, "arg", *argument);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Without waiting, now or later: --log may name a FIFO that nobody reads. */
static int open_new(const char *path, int flags)
{
    return open(path, flags | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
}

/* Takes the pump's lock. A reader who wants to know whether the run lives has it for a moment. */
static int lock(int fd)
{
    int result = -1;

    for (int i = 0; i < LOCK_TRIES && result < 0; i++) {
        result = flock(fd, LOCK_EX | LOCK_NB);
        if (result < 0 && errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (result < 0)
            usleep(1000);
    }
    return result;
}

/* Writes and locks ID.run. */
static int create_record(struct run_log *log, const struct run_info *info)
{
    size_t size;
    AUTO_FREE char *text = describe(info, &size);

    if (!text)
        return -1;
    log->run_fd = open_new(log->run_path, O_RDWR | O_EXCL);
    if (log->run_fd < 0)
        return -1;
    if (lock(log->run_fd) < 0 || write_all(log->run_fd, text, size) < 0) {
        unlink(log->run_path);
        close_fd(&log->run_fd);
        return -1;
    }
    return 0;
}

int run_log_create(struct run_log *log, const char *dir, struct run_info *info)
{
    AUTO_FREE char *marks = NULL;
    int result = 0;

    *log = (struct run_log){.log_fd = -1, .marks_fd = -1, .run_fd = -1};
    if (!dir) {
        errno = ENOENT;
        return -1;
    }
    if (run_dir_make(dir) < 0)
        return -1;
    if (!info->log_path && !(info->log_path = file_path(dir, info->id, "log")))
        return -1;
    log->dir = strdup(dir);
    log->log_path = strdup(info->log_path);
    log->run_path = file_path(dir, info->id, "run");
    marks = file_path(dir, info->id, "marks");
    if (!log->dir || !log->log_path || !log->run_path || !marks)
        return -1;
    log->log_fd = open_new(log->log_path, O_WRONLY | O_APPEND | O_TRUNC);
    if (log->log_fd < 0)
        return -1;
    log->apart = !is_file(log->log_fd);
    if (create_record(log, info) < 0)
        result = -1;
    log->marks_fd = open_new(marks, O_WRONLY | O_APPEND | O_TRUNC);
    return log->marks_fd < 0 ? -1 : result;
}

int run_log_append(struct run_log *log, const void *bytes, size_t size, size_t *written)
{
    *written = 0;
    if (log->log_fd < 0)
        return 0;
    while (*written < size) {
        ssize_t n = write(log->log_fd, (const char *)bytes + *written, size - *written);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            close_fd(&log->log_fd);
            return -1;
        }
        *written += (size_t)n;
    }
    return 0;
}

void run_log_mark(struct run_log *log, uint64_t offset, uint32_t rows, uint32_t cols, bool force)
{
    struct run_mark mark = {.offset = offset, .wall_ms = wall_ms(), .rows = rows, .cols = cols};
    int64_t now = monotonic_ms();

    if (log->marks_fd < 0 || (!force && now - log->last_mark_ms < RUN_MARK_MS))
        return;
    log->last_mark_ms = now;
    if (write(log->marks_fd, &mark, sizeof mark) != (ssize_t)sizeof mark)
        close_fd(&log->marks_fd); /* half a record ends the file for its readers: nothing may follow
                                     it */
}

int run_log_end(struct run_log *log, const struct run_end *end)
{
    char slot[RUN_END_WIDTH + 1];
    int length;

    if (log->run_fd < 0)
        return 0;
    length = snprintf(slot, sizeof slot, "%s %d %lld %llu %llu", end->by_signal ? "signal" : "exit",
                      end->code, (long long)end->wall_ms, (unsigned long long)end->bytes,
                      (unsigned long long)end->log_bytes);
    memset(slot + length, ' ', sizeof slot - 1 - (size_t)length);
    return pwrite(log->run_fd, slot, RUN_END_WIDTH, RUN_END_AT) == RUN_END_WIDTH ? 0 : -1;
}

/* Removes the file beside ID.run that ends in extension. */
static void remove_beside(const char *run_path, const char *extension)
{
    AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%.*s%s", (int)(strlen(run_path) - strlen("run")), run_path, extension) < 0)
        path = NULL;
    if (path)
        unlink(path); /* what stays is found as a lost run */
}

void run_log_discard(struct run_log *log)
{
    if (log->run_fd >= 0) {
        remove_beside(log->run_path, "log");
        remove_beside(log->run_path, "marks");
        remove_beside(log->run_path, "nix");
        unlink(log->run_path);
    }
    run_log_close(log);
}

void run_log_close(struct run_log *log)
{
    close_fd(&log->log_fd);
    close_fd(&log->marks_fd);
    close_fd(&log->run_fd); /* gives up the lock: the end must be written before */
    free(log->dir);
    free(log->run_path);
    free(log->log_path);
    log->dir = log->run_path = log->log_path = NULL;
}
