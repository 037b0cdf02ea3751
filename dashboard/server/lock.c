#include "dashboard/server/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"

static pid_t read_holder(int fd)
{
    char text[16] = "";
    ssize_t size = pread(fd, text, sizeof text - 1, 0);

    return size > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int lock_directory(const char *dir, pid_t *holder)
{
    AUTO_FREE char *path = NULL;
    int fd, why;

    *holder = 0;
    if (asprintf(&path, "%s/nixfleet.lock", dir) < 0) {
        path = NULL;
        errno = ENOMEM;
        return -1;
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (ftruncate(fd, 0) < 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0) {
            /* a full disk: the lock works without the number */
        }
        return fd;
    }
    why = errno;
    if (why == EWOULDBLOCK)
        *holder = read_holder(fd);
    close(fd);
    errno = why;
    return -1;
}
