/* Whether the log that a record names is still the log that its run wrote. A file of --log may have
   been used again by another run or program. A power cut may have shortened the file, or left NUL
   bytes at its end. */
#include "runrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

#define HASH_START UINT64_C(0xcbf29ce484222325) /* FNV-1a, 64 bits */
#define HASH_PRIME UINT64_C(0x100000001b3)

/* Reads size bytes at an offset. False if there are fewer. */
static bool read_at(int fd, unsigned char *out, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, out + done, size - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* The hash of up to RUN_SAMPLE bytes of a file. */
static bool hash_at(int fd, size_t size, uint64_t at, uint64_t *hash)
{
    unsigned char bytes[RUN_SAMPLE];

    if (size > sizeof bytes || !read_at(fd, bytes, size, at))
        return false;
    *hash = HASH_START;
    for (size_t i = 0; i < size; i++)
        *hash = (*hash ^ bytes[i]) * HASH_PRIME;
    return true;
}

static uint64_t size_of(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

bool run_file_of(int log_fd, uint64_t size, struct run_file *file)
{
    uint32_t sample = size < RUN_SAMPLE ? (uint32_t)size : RUN_SAMPLE;
    struct stat info;

    *file = (struct run_file){.size = size, .first_size = sample, .last_size = sample};
    if (fstat(log_fd, &info) < 0 || !hash_at(log_fd, sample, 0, &file->first) ||
        !hash_at(log_fd, sample, size - sample, &file->last))
        return false;
    file->device = (uint64_t)info.st_dev;
    file->inode = (uint64_t)info.st_ino;
    file->known = true;
    return true;
}

static bool same_hash(int fd, size_t size, uint64_t at, uint64_t hash)
{
    uint64_t now;

    return hash_at(fd, size, at, &now) && now == hash;
}

/* Whether the end of a log is as its record says. */
static bool vouched(int fd, const struct run_file *file)
{
    return file->known && file->size >= file->last_size &&
           same_hash(fd, file->last_size, file->size - file->last_size, file->last);
}

/* The size without NUL bytes at the end. */
static uint64_t without_nuls(int fd, uint64_t size)
{
    unsigned char bytes[RUN_SAMPLE];

    while (size > 0) {
        size_t part = size < sizeof bytes ? (size_t)size : sizeof bytes;

        if (!read_at(fd, bytes, part, size - part))
            return size;
        while (part > 0 && bytes[part - 1] == 0) {
            part--;
            size--;
        }
        if (part > 0)
            break;
    }
    return size;
}

/* Whether a log holds another text than its run wrote. own: it is in the state directory, where
 * only a power cut makes a log shorter. Device and inode prove nothing: some file systems number
 * devices anew at each mount. */
static bool overwritten(int fd, const struct run_record *record, bool own)
{
    const struct run_file *file = &record->file;
    uint64_t size = size_of(fd), text;
    bool cut;

    if (!file->known || vouched(fd, file))
        return false;
    text = without_nuls(fd, size);
    cut = own || text < size;
    if (text < file->first_size)
        return !cut;
    if (!same_hash(fd, file->first_size, 0, file->first))
        return true;
    return text >= file->size || (!cut && record->end.known);
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

bool run_directory_trusted_fd(int dir_fd)
{
    struct stat info;

    return fstat(dir_fd, &info) == 0 && (info.st_uid == geteuid() || info.st_uid == 0) &&
           !(info.st_mode & (S_IWGRP | S_IWOTH));
}

bool run_directory_trusted(const char *dir)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && run_directory_trusted_fd(fd);
}

static bool is_own_log(const char *dir, const struct run_record *record)
{
    size_t length = strlen(dir);
    const char *path = record->info.log_path, *name = path + length + 1;

    return strncmp(path, dir, length) == 0 && path[length] == '/' &&
           strncmp(name, record->info.id, RUN_ID_SIZE - 1) == 0 &&
           strcmp(name + RUN_ID_SIZE - 1, ".log") == 0;
}

/* The owner of the record in dir. False if the record cannot be opened. */
static bool owner_of(const char *dir, const struct run_record *record, uid_t *owner)
{
    AUTO_CLOSE int fd = run_file_open(dir, record->info.id, "run", O_RDONLY);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) < 0)
        return false;
    *owner = info.st_uid;
    return true;
}

enum run_log_state run_log_of(const char *dir, const struct run_record *record, int *fd)
{
    const char *path = record->info.log_path;
    bool own = path && is_own_log(dir, record);
    AUTO_CLOSE int log_fd = -1;
    struct stat info;
    uid_t owner;

    *fd = -1;
    errno = ENOENT;
    if (!path || !*path)
        return RUN_LOG_GONE;
    log_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (own ? O_NOFOLLOW : 0));
    if (log_fd < 0 || fstat(log_fd, &info) < 0)
        return RUN_LOG_GONE;
    if (!S_ISREG(info.st_mode))
        return RUN_LOG_NO_FILE;
    if (!owner_of(dir, record, &owner))
        return RUN_LOG_GONE;
    if (owner != info.st_uid)
        return RUN_LOG_FOREIGN;
    if (overwritten(log_fd, record, own))
        return RUN_LOG_OVERWRITTEN;
    *fd = log_fd;
    log_fd = -1;
    return RUN_LOG_THERE;
}

const char *run_log_state_text(enum run_log_state state, int problem)
{
    switch (state) {
    case RUN_LOG_THERE:
        break;
    case RUN_LOG_GONE:
        return problem == ENOENT ? "its log is gone" : strerror(problem);
    case RUN_LOG_NO_FILE:
        return "its log is not a file";
    case RUN_LOG_FOREIGN:
        return "its log belongs to another user than its record";
    case RUN_LOG_OVERWRITTEN:
        return "its log was overwritten";
    }
    return "its log is there";
}

uint64_t run_log_length(int log_fd, const struct run_record *record)
{
    uint64_t size = size_of(log_fd);

    if (record->end.known && record->end.log_bytes < size)
        size = record->end.log_bytes; /* a log outside the directory may hold more than this run */
    if (record->file.size == size && vouched(log_fd, &record->file))
        return size;
    return without_nuls(log_fd, size);
}
