/* Reading the records of runs: for the shipper, for --list and --show, for --flush. */
#include "runlog.h"

#include <dirent.h>
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

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes %XX in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (from[0] == '%' && hex_value(from[1]) >= 0 && hex_value(from[2]) >= 0) {
            *to++ = (char)(hex_value(from[1]) << 4 | hex_value(from[2]));
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static void parse_end(const char *value, struct run_end *end)
{
    char how[8];
    long long when;
    unsigned long long bytes, log_bytes;

    if (sscanf(value, "%7s %d %lld %llu %llu", how, &end->code, &when, &bytes, &log_bytes) != 5)
        return;
    end->known = true;
    end->by_signal = strcmp(how, "signal") == 0;
    end->wall_ms = when;
    end->bytes = bytes;
    end->log_bytes = log_bytes;
}

static void parse_ack(const char *value, struct run_ack *ack)
{
    unsigned long long lines;
    unsigned more = 0; /* older versions did not say */
    int delivered, refused;

    if (sscanf(value, "%llu %d %d %u", &lines, &delivered, &refused, &more) < 3)
        return;
    ack->lines = lines;
    ack->more = more;
    ack->delivered = delivered;
    ack->refused = refused;
}

static int add_argument(struct run_info *info, size_t *count, const char *value)
{
    char **grown = realloc(info->argv, (*count + 2) * sizeof *grown);

    if (!grown)
        return -1;
    info->argv = grown;
    grown[*count] = strdup(value);
    grown[*count + 1] = NULL;
    return grown[(*count)++] ? 0 : -1;
}

static int keep(char **field, const char *value)
{
    free(*field);
    *field = strdup(value);
    return *field ? 0 : -1;
}

/* One "key=value" line into record. An unknown key is of a later version: passed over. */
static int parse_field(struct run_record *record, size_t *arguments, const char *key, char *value)
{
    struct run_info *info = &record->info;

    if (strcmp(key, "end") == 0)
        parse_end(value, &record->end);
    else if (strcmp(key, "ack") == 0)
        parse_ack(value, &record->ack);
    unescape(value);
    if (strcmp(key, "id") == 0)
        snprintf(info->id, sizeof info->id, "%s", value);
    else if (strcmp(key, "host") == 0)
        snprintf(info->host, sizeof info->host, "%s", value);
    else if (strcmp(key, "name") == 0)
        snprintf(info->name, sizeof info->name, "%s", value);
    else if (strcmp(key, "user") == 0)
        snprintf(info->user, sizeof info->user, "%s", value);
    else if (strcmp(key, "started") == 0)
        info->started_ms = strtoll(value, NULL, 10);
    else if (strcmp(key, "pid") == 0)
        info->pid = atoi(value);
    else if (strcmp(key, "rows") == 0)
        info->rows = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "cols") == 0)
        info->cols = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "stream") == 0)
        info->stream = value[0] == '1';
    else if (strcmp(key, "url") == 0)
        return keep(&info->url, value);
    else if (strcmp(key, "log") == 0)
        return keep(&info->log_path, value);
    else if (strcmp(key, "cwd") == 0)
        return keep(&info->cwd, value);
    else if (strcmp(key, "secrets") == 0)
        return keep(&info->secrets, value);
    else if (strcmp(key, "arg") == 0)
        return add_argument(info, arguments, value);
    return 0;
}

static int parse_record(char *text, struct run_record *record)
{
    size_t arguments = 0;
    char *line;

    while ((line = strsep(&text, "\n"))) {
        char *equals = strchr(line, '=');

        if (!equals)
            continue;
        *equals = '\0';
        if (parse_field(record, &arguments, line, equals + 1) < 0)
            return -1;
    }
    if (!run_id_valid(record->info.id) || !record->info.log_path) {
        errno = EBADMSG;
        return -1;
    }
    if (!record->info.secrets)
        record->info.secrets = strdup("");
    return record->info.secrets ? 0 : -1;
}

/* All of an open file from its start, whatever its offset; NUL-terminated; caller frees. */
static char *read_descriptor(int fd, size_t limit)
{
    struct stat info;
    char *text;
    size_t used = 0;

    if (fstat(fd, &info) < 0)
        return NULL;
    if ((uint64_t)info.st_size > limit) {
        errno = EFBIG;
        return NULL;
    }
    text = malloc((size_t)info.st_size + 1);
    while (text && used < (size_t)info.st_size) {
        ssize_t n = pread(fd, text + used, (size_t)info.st_size - used, (off_t)used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return NULL;
        }
        if (n == 0)
            break;
        used += (size_t)n;
    }
    if (text)
        text[used] = '\0';
    return text;
}

int run_record_read_fd(int run_fd, struct run_record *record)
{
    AUTO_FREE char *text = read_descriptor(run_fd, RUN_RECORD_LIMIT);

    memset(record, 0, sizeof *record);
    if (!text)
        return -1;
    if (parse_record(text, record) < 0) {
        int saved = errno;

        run_record_free(record);
        errno = saved;
        return -1;
    }
    return 0;
}

/* Whether someone else holds the lock of an open file. */
static bool locked(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return false;
}

int run_record_read(const char *dir, const char *id, struct run_record *record)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;
    bool alive;

    memset(record, 0, sizeof *record);
    if (asprintf(&path, "%s/%s.run", dir, id) < 0)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    alive = locked(fd); /* before reading: an end written in between is then seen */
    if (run_record_read_fd(fd, record) < 0)
        return -1;
    record->alive = alive;
    return 0;
}

void run_record_free(struct run_record *record)
{
    for (char **argument = record->info.argv; argument && *argument; argument++)
        free(*argument);
    free(record->info.argv);
    free(record->info.url);
    free(record->info.log_path);
    free(record->info.cwd);
    free(record->info.secrets);
    memset(record, 0, sizeof *record);
}

static int is_record(const struct dirent *entry)
{
    char id[RUN_ID_SIZE];

    if (strlen(entry->d_name) != RUN_ID_SIZE - 1 + 4 ||
        strcmp(entry->d_name + RUN_ID_SIZE - 1, ".run") != 0)
        return 0;
    snprintf(id, sizeof id, "%.*s", RUN_ID_SIZE - 1, entry->d_name);
    return run_id_valid(id);
}

char **run_record_list(const char *dir)
{
    struct dirent **entries;
    int count = scandir(dir, &entries, is_record, alphasort); /* ids begin with their time */
    char **ids;

    if (count < 0 && errno != ENOENT)
        return NULL;
    ids = calloc((size_t)(count < 0 ? 0 : count) + 1, sizeof *ids);
    for (int i = 0; i < count; i++) {
        if (ids)
            ids[i] = strndup(entries[i]->d_name, RUN_ID_SIZE - 1);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return ids;
}

int run_ack_write(int run_fd, const struct run_ack *ack)
{
    char slot[RUN_ACK_WIDTH + 1];
    int length = snprintf(slot, sizeof slot, "%llu %d %d %u", (unsigned long long)ack->lines,
                          ack->delivered, ack->refused, (unsigned)ack->more);

    memset(slot + length, ' ', sizeof slot - 1 - (size_t)length);
    return pwrite(run_fd, slot, RUN_ACK_WIDTH, RUN_ACK_AT) == RUN_ACK_WIDTH ? 0 : -1;
}

int run_delivery_lock(int marks_fd)
{
    return flock(marks_fd, LOCK_EX | LOCK_NB);
}

bool run_owed(const struct run_record *record)
{
    return record->info.stream && !record->ack.delivered && !record->ack.refused && !record->alive;
}
