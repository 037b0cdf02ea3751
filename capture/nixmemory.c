#include "nixmemory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

#include "../common/io.h"

#define ENDING ".nix"
#define DIRECTORY_MODE 0711
#define FILE_MODE 0622
#define FILE_AGE_S 600 /* of a file that no log writer holds */
#define LINK_AGE_S 86400

#ifdef __linux__

static const char *base_directory(void)
{
    struct statfs info;

    if (statfs("/dev/shm", &info) < 0)
        return NULL;
    errno = ENODEV;
    return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC ? "/dev/shm" : NULL;
}

#else

static const char *base_directory(void)
{
    const char *given = getenv("TMPDIR");

    return given && *given == '/' ? given : "/tmp";
}

#endif

static int directory_path(char *path, size_t size)
{
    const char *base = base_directory();

    if (!base)
        return -1;
    if ((size_t)snprintf(path, size, "%s/nixfleet-%u", base, (unsigned)geteuid()) < size)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

/* Whether the directory is ours, and nobody else can make files in it. */
static bool is_ours(int dir)
{
    struct stat info;

    errno = EPERM;
    return fstat(dir, &info) == 0 && info.st_uid == geteuid() && !(info.st_mode & 022) &&
           ((info.st_mode & 0777) == DIRECTORY_MODE || fchmod(dir, DIRECTORY_MODE) == 0);
}

int nix_memory_open(void)
{
    char path[NIX_MEMORY_PATH_SIZE];
    int dir;

    if (directory_path(path, sizeof path) < 0 ||
        (mkdir(path, DIRECTORY_MODE) < 0 && errno != EEXIST))
        return -1;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && !is_ours(dir))
        close_fd(&dir);
    return dir;
}

int nix_memory_create(const char *id, char path[NIX_MEMORY_PATH_SIZE])
{
    AUTO_CLOSE int dir = nix_memory_open();
    AUTO_CLOSE int fd = -1;
    const char *name;
    size_t length;

    path[0] = '\0';
    if (dir < 0 || directory_path(path, NIX_MEMORY_PATH_SIZE) < 0)
        return -1;
    length = strlen(path);
    if ((size_t)snprintf(path + length, NIX_MEMORY_PATH_SIZE - length, "/%s" ENDING, id) <
        NIX_MEMORY_PATH_SIZE - length) {
        name = path + length + 1;
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 && fchmod(fd, FILE_MODE) == 0)
            return 0;
    }
    path[0] = '\0';
    return -1;
}

void nix_memory_remove(const char *path)
{
    int saved = errno;

    if (*path)
        unlink(path); /* what remains is removed by a later run */
    errno = saved;
}

void nix_memory_end(const char *path)
{
    char link[NIX_MEMORY_PATH_SIZE + sizeof ".end"];

    snprintf(link, sizeof link, "%s.end", path);
    if (symlink("/dev/null", link) < 0 || rename(link, path) < 0)
        unlink(path);
}

/* A log writer holds a lock on the file of its run. */
static bool in_use(int dir, const char *name)
{
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static bool is_old(int dir, const char *name)
{
    const char *ending = strstr(name, ENDING);
    struct stat info;
    time_t age;

    if (!ending || fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    age = time(NULL) - info.st_mtime;
    if (S_ISLNK(info.st_mode))
        return age > LINK_AGE_S;
    return age > FILE_AGE_S && !in_use(dir, name);
}

void nix_memory_prune(void)
{
    int dir = nix_memory_open();
    DIR *entries = dir < 0 ? NULL : fdopendir(dir);
    struct dirent *entry;

    if (!entries) {
        close_fd(&dir);
        return;
    }
    while ((entry = readdir(entries)))
        if (is_old(dir, entry->d_name))
            unlinkat(dir, entry->d_name, 0);
    closedir(entries);
}
