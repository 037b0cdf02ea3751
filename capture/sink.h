/* Writes to a descriptor of the caller without waiting, and without a change for other processes:
 * O_NONBLOCK belongs to the open file description, which the caller shares. */
#ifndef NIXFLEET_SINK_H
#define NIXFLEET_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sink_way {
    SINK_OWN,    /* a file description of our own, non-blocking */
    SINK_FILE,   /* a regular file */
    SINK_SOCKET, /* MSG_DONTWAIT in each call */
    SINK_PIPE,   /* Linux: through our own pipe, with splice(2) and SPLICE_F_NONBLOCK */
    SINK_SMALL   /* a few bytes at a time, and only when poll reports space */
};

struct sink {
    int fd;    /* -1: the reader is gone */
    bool ours; /* fd is closed by sink_close */
    enum sink_way way;
    bool pipe;    /* fd is a pipe: sink_move can be used */
    int stage[2]; /* a pipe of our own, empty between two calls; -1: not made yet */
};

/* Finds the way to write to fd, which stays the caller's (-1: none). Opens a pipe or terminal again
 * if that is allowed; a pipe of another user cannot be opened. */
void sink_open(struct sink *sink, int fd);
/* Returns as write(2) to a non-blocking descriptor: the number of written bytes, or -1 with errno.
 * After EAGAIN, poll for POLLOUT. */
ssize_t sink_write(struct sink *sink, const void *bytes, size_t size);
/* Linux: lets the pipe `from` and the sink, which must be a pipe, hold more bytes, where the system
 * allows it. Both stay so. */
void sink_widen(const struct sink *sink, int from);
/* Linux: copies at most size bytes that wait in the pipe `from`, and leaves them there. Returns the
 * number of bytes; 0 if there are none, or on failure (read(2) then says why). */
size_t sink_peek(struct sink *sink, int from, void *bytes, size_t size);
/* Linux: moves at most size bytes from the pipe `from` to the sink, which must be a pipe, without a
 * copy. Returns as sink_write. */
ssize_t sink_move(struct sink *sink, int from, size_t size);
/* Closes the sink's own descriptors. */
void sink_close(struct sink *sink);

#endif
