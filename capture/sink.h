/* Writing to a descriptor of the caller's without ever waiting for it, and without changing it for
   others: O_NONBLOCK belongs to the open file description, which the caller shares. */
#ifndef NIXFLEET_SINK_H
#define NIXFLEET_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sink_way {
    SINK_OWN,    /* a description of our own, non-blocking */
    SINK_FILE,   /* a regular file */
    SINK_SOCKET, /* each call says that it must not wait */
    SINK_PIPE,   /* Linux: through a pipe of our own, by splice(2), which can be told not to wait */
    SINK_SMALL   /* little at a time, and only when poll says that there is room */
};

struct sink {
    int fd;    /* -1: nobody looks any more */
    bool ours; /* to be closed by us */
    enum sink_way way;
    int stage[2]; /* SINK_PIPE: our own pipe, empty between two calls; -1: not made yet */
};

/* Finds the way to write to fd (borrowed; -1: none). A pipe or terminal is opened once more, where
   that is allowed: it is not for one that belongs to another user. */
void sink_open(struct sink *sink, int fd);
/* As write(2) to a non-blocking descriptor: bytes taken, or -1 with errno, EAGAIN where poll for
 * POLLOUT must come first. */
ssize_t sink_write(struct sink *sink, const void *bytes, size_t size);
/* Closes what is ours. */
void sink_close(struct sink *sink);

#endif
