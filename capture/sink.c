/* Writes without waiting, for each kind of descriptor that a caller can have. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

/* Bytes that can be written without blocking after poll reports POLLOUT: POSIX's minimum of
 * PIPE_BUF. */
#define SMALL 512

/* With a pipe of 64 KiB, writer and reader wait for each other every 64 KiB. With these sizes a
 * flood takes half the time. */
#define FLOOD_PIPE_IN (512 << 10)
#define FLOOD_PIPE_OUT (256 << 10)

#define OPEN_FLAGS (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* Our controlling terminal can be opened again, even if it belongs to another user (su). -1: fd is
 * not that terminal. */
static int open_own_terminal(int fd)
{
#ifdef TIOCGDEV
    unsigned theirs, ours;
    int again = isatty(fd) ? open("/dev/tty", OPEN_FLAGS) : -1;

    if (again >= 0 &&
        (ioctl(fd, TIOCGDEV, &theirs) < 0 || ioctl(again, TIOCGDEV, &ours) < 0 || theirs != ours))
        close_fd(&again);
    return again;
#else
    (void)fd;
    return -1;
#endif
}

/* Opens a new file description for the caller's descriptor. -1: not possible. */
static int reopen(int fd, mode_t mode)
{
    char path[64];
    int again;

    if (!S_ISCHR(mode) && !S_ISFIFO(mode))
        return -1;
#ifdef __linux__
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
#else
    if (!isatty(fd) || ttyname_r(fd, path, sizeof path) != 0)
        return -1;
#endif
    again = open(path, OPEN_FLAGS);
    return again >= 0 ? again : open_own_terminal(fd);
}

static enum sink_way way_of(mode_t mode)
{
    if (S_ISREG(mode))
        return SINK_FILE;
    if (S_ISSOCK(mode))
        return SINK_SOCKET;
#ifdef __linux__
    if (S_ISFIFO(mode))
        return SINK_PIPE;
#endif
    return SINK_SMALL;
}

void sink_open(struct sink *sink, int fd)
{
    struct stat info;
    int ours;

    *sink = (struct sink){.fd = fd, .way = SINK_SMALL, .stage = {-1, -1}};
    if (fd < 0 || fstat(fd, &info) < 0)
        return;
#ifdef __linux__
    sink->pipe = S_ISFIFO(info.st_mode);
#endif
    ours = reopen(fd, info.st_mode);
    sink->ours = ours >= 0;
    if (sink->ours)
        sink->fd = ours;
    sink->way = sink->ours ? SINK_OWN : way_of(info.st_mode);
}

void sink_close(struct sink *sink)
{
    if (sink->ours)
        close_fd(&sink->fd);
    sink->fd = -1;
    sink->ours = false;
    close_fd(&sink->stage[0]);
    close_fd(&sink->stage[1]);
}

/* True if poll reports space; else errno is EAGAIN. If the reader is gone, the answer is true, and
 * the write fails. */
static bool has_space(int fd)
{
    struct pollfd space = {.fd = fd, .events = POLLOUT};

    if (poll(&space, 1, 0) > 0)
        return true;
    errno = EAGAIN;
    return false;
}

static ssize_t write_small(const struct sink *sink, const char *bytes, size_t size)
{
    size_t done = 0;

    while (done < size && has_space(sink->fd)) {
        size_t piece = size - done < SMALL ? size - done : SMALL;
        ssize_t n = write(sink->fd, bytes + done, piece);

        if (n < 0)
            return done > 0 ? (ssize_t)done : -1;
        done += (size_t)n;
    }
    return done > 0 ? (ssize_t)done : -1;
}

#ifdef __linux__
/* Reads back what was not taken, so that the stage is empty again. */
static void empty_stage(struct sink *sink, size_t size)
{
    char dropped[4096];

    while (size > 0) {
        ssize_t n = read(sink->stage[0], dropped, size < sizeof dropped ? size : sizeof dropped);

        if (n <= 0)
            break;
        size -= (size_t)n;
    }
}

static bool make_stage(struct sink *sink)
{
    return sink->stage[0] >= 0 || pipe2(sink->stage, O_CLOEXEC | O_NONBLOCK) == 0;
}

static ssize_t write_pipe(struct sink *sink, const char *bytes, size_t size)
{
    ssize_t staged, moved = 0;
    int problem;

    if (!has_space(sink->fd))
        return -1;
    if (!make_stage(sink))
        return write_small(sink, bytes, size);
    staged = write(sink->stage[1], bytes, size);
    if (staged < 0)
        return -1;
    while (moved < staged) {
        ssize_t n = splice(sink->stage[0], NULL, sink->fd, NULL, (size_t)(staged - moved),
                           SPLICE_F_NONBLOCK);

        if (n <= 0)
            break;
        moved += n;
    }
    problem = errno;
    empty_stage(sink, (size_t)(staged - moved));
    errno = problem;
    return moved > 0 ? moved : -1;
}

/* Makes a pipe larger, never smaller. If the user has too much memory in pipes, the size stays. */
static void widen_pipe(int fd, int size)
{
    int now = fcntl(fd, F_GETPIPE_SZ);

    if (now > 0 && now < size)
        (void)fcntl(fd, F_SETPIPE_SZ, size);
}

void sink_widen(const struct sink *sink, int from)
{
    widen_pipe(from, FLOOD_PIPE_IN);
    widen_pipe(sink->fd, FLOOD_PIPE_OUT);
}

size_t sink_peek(struct sink *sink, int from, void *bytes, size_t size)
{
    ssize_t staged, n;

    if (!make_stage(sink))
        return 0;
    staged = tee(from, sink->stage[1], size, SPLICE_F_NONBLOCK);
    if (staged <= 0)
        return 0;
    n = read(sink->stage[0], bytes, (size_t)staged);
    if (n < staged) /* not seen */
        empty_stage(sink, (size_t)(n < 0 ? staged : staged - n));
    return n < 0 ? 0 : (size_t)n;
}

ssize_t sink_move(struct sink *sink, int from, size_t size)
{
    return splice(from, NULL, sink->fd, NULL, size, SPLICE_F_NONBLOCK);
}
#else
void sink_widen(const struct sink *sink, int from)
{
    (void)sink, (void)from;
}

size_t sink_peek(struct sink *sink, int from, void *bytes, size_t size)
{
    (void)sink, (void)from, (void)bytes, (void)size;
    return 0;
}

ssize_t sink_move(struct sink *sink, int from, size_t size)
{
    (void)sink, (void)from, (void)size;
    errno = ENOSYS;
    return -1;
}
#endif

ssize_t sink_write(struct sink *sink, const void *bytes, size_t size)
{
    switch (sink->way) {
    case SINK_OWN:
    case SINK_FILE:
        return write(sink->fd, bytes, size);
    case SINK_SOCKET:
        return send(sink->fd, bytes, size, MSG_DONTWAIT);
    case SINK_PIPE:
#ifdef __linux__
        return write_pipe(sink, bytes, size);
#endif
    case SINK_SMALL:
        break;
    }
    return write_small(sink, bytes, size);
}
