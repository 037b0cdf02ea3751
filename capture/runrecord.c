/* The records of runs: their text, and reading them for the shipper, --list, --show and --flush. */
#include "runrecord.h"

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

/* The slots, one after the other. Each is "key=", a fixed width, and an LF. */
#define END_WIDTH 100 /* space for "signal 9 MS BYTES BYTES" */
#define ACK_WIDTH 40
#define FILE_WIDTH 120 /* space for "DEVICE INODE SIZE N HASH N HASH" */
#define END_AT 4
#define ACK_AT (END_AT + END_WIDTH + 1 + 4)
#define FILE_AT (ACK_AT + ACK_WIDTH + 1 + 5)

/* ---- the text ---- */

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

/* The lines that decide where a run may be sent come first, so that a record that was cut still has
 * them. */
char *run_record_format(const struct run_info *info, const char *log_path, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    if (!out)
        return NULL;
    fprintf(out, "end=%*s\nack=%*s\nfile=%*s\n", END_WIDTH, "", ACK_WIDTH, "", FILE_WIDTH, "");
    fprintf(out, "stream=%d\n", info->stream);
    put_field(out, "id", info->id);
    put_field(out, "url", info->url);
    put_field(out, "host", info->host);
    put_field(out, "name", info->name);
    put_field(out, "user", info->user);
    put_field(out, "secrets", info->secrets);
    put_field(out, "log", log_path);
    put_field(out, "cwd", info->cwd);
    fprintf(out, "started=%lld\npid=%d\nrows=%u\ncols=%u\n", (long long)info->started_ms, info->pid,
            info->rows, info->cols);
    for (char **argument = info->argv; argument && *argument; argument++)
        put_field(out, "arg", *argument);
    fputs("whole=1\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int write_slot(int run_fd, const char *text, int width, off_t at)
{
    char slot[FILE_WIDTH + 1];

    snprintf(slot, sizeof slot, "%-*s", width, text);
    return pwrite(run_fd, slot, (size_t)width, at) == width ? 0 : -1;
}

int run_end_write(int run_fd, const struct run_end *end)
{
    char text[END_WIDTH + 1];

    snprintf(text, sizeof text, "%s %d %lld %llu %llu", end->by_signal ? "signal" : "exit",
             end->code, (long long)end->wall_ms, (unsigned long long)end->bytes,
             (unsigned long long)end->log_bytes);
    return write_slot(run_fd, text, END_WIDTH, END_AT);
}

int run_ack_write(int run_fd, const struct run_ack *ack)
{
    char text[ACK_WIDTH + 1];
    int length =
        snprintf(text, sizeof text, "%llu %d %d %u %llx", (unsigned long long)ack->lines,
                 ack->delivered, ack->refused, (unsigned)ack->more, (unsigned long long)ack->bytes);

    if ((size_t)length >= sizeof text) /* the last number may be missing */
        snprintf(text, sizeof text, "%llu %d %d %u", (unsigned long long)ack->lines, ack->delivered,
                 ack->refused, (unsigned)ack->more);
    return write_slot(run_fd, text, ACK_WIDTH, ACK_AT);
}

int run_file_write(int run_fd, const struct run_file *file)
{
    char text[FILE_WIDTH + 1];

    snprintf(text, sizeof text, "%llx %llx %llu %u %llx %u %llx", (unsigned long long)file->device,
             (unsigned long long)file->inode, (unsigned long long)file->size, file->first_size,
             (unsigned long long)file->first, file->last_size, (unsigned long long)file->last);
    return write_slot(run_fd, text, FILE_WIDTH, FILE_AT);
}

int run_gap_write(int run_fd, const struct run_gap *gap)
{
    char text[100];
    off_t end = lseek(run_fd, 0, SEEK_END);
    int length =
        snprintf(text, sizeof text, "gap=%llu %llu %llu\n", (unsigned long long)gap->offset,
                 (unsigned long long)gap->length, (unsigned long long)gap->missing);

    return end >= 0 && pwrite(run_fd, text, (size_t)length, end) == length ? 0 : -1;
}

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
    unsigned long long lines, bytes = 0;
    unsigned more = 0; /* older versions wrote neither of these numbers */
    int delivered, refused;

    if (sscanf(value, "%llu %d %d %u %llx", &lines, &delivered, &refused, &more, &bytes) < 3)
        return;
    *ack = (struct run_ack){
        .lines = lines, .more = more, .bytes = bytes, .delivered = delivered, .refused = refused};
}

static void parse_file(const char *value, struct run_file *file)
{
    unsigned long long device, inode, size, first, last;
    unsigned first_size, last_size;

    if (sscanf(value, "%llx %llx %llu %u %llx %u %llx", &device, &inode, &size, &first_size, &first,
               &last_size, &last) != 7)
        return;
    *file = (struct run_file){.known = first_size <= RUN_SAMPLE && last_size <= RUN_SAMPLE,
                              .device = device,
                              .inode = inode,
                              .size = size,
                              .first_size = first_size,
                              .first = first,
                              .last_size = last_size,
                              .last = last};
}

static int add_gap(struct run_record *record, const char *value)
{
    unsigned long long offset, length, missing;
    struct run_gap *grown;

    if (record->gap_count >= RUN_GAPS_MAX ||
        sscanf(value, "%llu %llu %llu", &offset, &length, &missing) != 3)
        return 0;
    grown = realloc(record->gaps, (record->gap_count + 1) * sizeof *grown);
    if (!grown)
        return -1;
    record->gaps = grown;
    grown[record->gap_count++] = (struct run_gap){offset, length, missing};
    return 0;
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

/* If a key occurs twice, the first one counts. */
static int keep(char **slot, const char *value)
{
    if (*slot)
        return 0;
    *slot = strdup(value);
    return *slot ? 0 : -1;
}

/* The state of reading a record. */
struct reading {
    struct run_record *record;
    size_t arguments;
    bool whole, streams; /* whether a line `whole`, `stream` was read */
};

static bool parse_slot(struct run_record *record, const char *key, const char *value)
{
    if (strcmp(key, "end") == 0)
        parse_end(value, &record->end);
    else if (strcmp(key, "ack") == 0)
        parse_ack(value, &record->ack);
    else if (strcmp(key, "file") == 0)
        parse_file(value, &record->file);
    else
        return false;
    return true;
}

/* An unknown key belongs to a later version, and is skipped. */
static int parse_field(struct reading *reading, const char *key, char *value)
{
    struct run_info *info = &reading->record->info;

    if (parse_slot(reading->record, key, value))
        return 0;
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
    else if (strcmp(key, "whole") == 0)
        reading->whole = true;
    else if (strcmp(key, "url") == 0)
        return keep(&info->url, value);
    else if (strcmp(key, "log") == 0)
        return keep(&info->log_path, value);
    else if (strcmp(key, "cwd") == 0)
        return keep(&info->cwd, value);
    else if (strcmp(key, "secrets") == 0)
        return keep(&info->secrets, value);
    else if (strcmp(key, "gap") == 0)
        return add_gap(reading->record, value);
    else if (strcmp(key, "arg") == 0)
        return add_argument(info, &reading->arguments, value);
    else if (strcmp(key, "stream") == 0) {
        reading->streams = true;
        info->stream = value[0] == '1';
    }
    return 0;
}

/* Older versions wrote `secrets` as the last line before the arguments, and no `whole`. */
static bool seems_whole(const struct reading *reading)
{
    const struct run_record *record = reading->record;

    return run_id_valid(record->info.id) && record->info.log_path &&
           (reading->whole || (record->info.secrets && reading->arguments > 0 &&
                               !record->file.known && record->info.started_ms));
}

int run_record_parse(const char *text, size_t size, struct run_record *record)
{
    AUTO_FREE char *copy = malloc(size + 1);
    struct reading reading = {.record = record};
    char *rest = copy, *line;

    memset(record, 0, sizeof *record);
    if (!copy)
        return -1;
    memcpy(copy, text, size);
    copy[size] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        /* a line without LF was cut */
        char *equals = rest ? strchr(line, '=') : NULL;
        if (!equals)
            continue;
        *equals = '\0';
        if (parse_field(&reading, line, equals + 1) < 0) {
            run_record_free(record);
            errno = ENOMEM;
            return -1;
        }
    }
    record->damaged = !seems_whole(&reading);
    if (!reading.streams)
        record->info.stream = true;
    if (keep(&record->info.secrets, "") == 0)
        return 0;
    run_record_free(record);
    errno = ENOMEM;
    return -1;
}

/* ---- reading files ---- */

int run_file_open(const char *dir, const char *id, const char *ending, int flags)
{
    AUTO_FREE char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/%s.%s", dir, id, ending) < 0) {
        path = NULL;
        return -1;
    }
    fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 && (errno == EISDIR || errno == ELOOP || errno == ENXIO))
        errno = EBADMSG;
    if (fd >= 0 && !is_file(fd)) {
        close_fd(&fd);
        errno = EBADMSG;
    }
    return fd;
}

/* Reads an open file from its start, whatever its offset is. The caller frees the text. */
static char *read_descriptor(int fd, size_t limit, size_t *size)
{
    struct stat info;
    char *text;

    *size = 0;
    if (fstat(fd, &info) < 0)
        return NULL;
    if ((uint64_t)info.st_size > limit) {
        errno = EFBIG;
        return NULL;
    }
    text = malloc((size_t)info.st_size + 1);
    while (text && *size < (size_t)info.st_size) {
        ssize_t n = pread(fd, text + *size, (size_t)info.st_size - *size, (off_t)*size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return NULL;
        }
        if (n == 0)
            break;
        *size += (size_t)n;
    }
    return text;
}

/* Whether another process holds the lock of an open file. */
static bool locked(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return false;
}

/* Fills in what a damaged record has lost, from its name and place. */
static int complete(struct run_record *record, const char *dir, const char *id)
{
    struct run_info *info = &record->info;

    snprintf(info->id, sizeof info->id, "%s", id);
    if (info->started_ms == 0)
        info->started_ms = run_id_time(id);
    if (info->log_path)
        return 0;
    if (asprintf(&info->log_path, "%s/%s.log", dir, id) >= 0)
        return 0;
    info->log_path = NULL;
    return -1;
}

int run_record_read(const char *dir, const char *id, struct run_record *record)
{
    AUTO_FREE char *text = NULL;
    AUTO_CLOSE int fd = -1;
    size_t size = 0;
    bool alive;

    memset(record, 0, sizeof *record);
    if (!run_id_valid(id)) {
        errno = ENOENT;
        return -1;
    }
    fd = run_file_open(dir, id, "run", O_RDONLY);
    if (fd < 0)
        return -1;
    /* check this before reading, so that an end that is written in between is read */
    alive = locked(fd);
    text = read_descriptor(fd, RUN_RECORD_LIMIT, &size);
    if (!text && errno != EFBIG)
        return -1;
    if (run_record_parse(text ? text : "", size, record) < 0)
        return -1;
    record->alive = alive;
    if (strcmp(record->info.id, id) != 0)
        record->damaged = true;
    if (complete(record, dir, id) == 0)
        return 0;
    run_record_free(record);
    return -1;
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
    free(record->gaps);
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

void run_refusal_write(const char *dir, const char *id, const char *text)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;

    if (asprintf(&path, "%s/%s.refused", dir, id) < 0) {
        path = NULL;
        return;
    }
    (void)unlink(path); /* usually there is no such file */
    if (text)
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0)
        /* on failure the reason is lost, but the run stays undelivered */
        (void)write_all(fd, text, strlen(text));
}

bool run_refusal_read(const char *dir, const char *id, char *text, size_t size)
{
    AUTO_CLOSE int fd = run_file_open(dir, id, "refused", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return n >= 0;
}

int run_delivery_lock(int marks_fd)
{
    return flock(marks_fd, LOCK_EX | LOCK_NB);
}

bool run_undelivered(const struct run_record *record)
{
    return record->info.stream && !record->ack.delivered && !record->ack.refused &&
           (record->end.known || !record->alive);
}
