#include "dashboard/server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

union socket_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

int listen_split(const char *text, char address[LISTEN_ADDRESS_SIZE], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0,
           digits = colon ? strspn(colon + 1, "0123456789") : 0;
    unsigned long number;

    if (digits == 0 || digits > 5 || colon[1 + digits] || length == 0 ||
        length >= LISTEN_ADDRESS_SIZE)
        return -1;
    number = strtoul(colon + 1, NULL, 10);
    if (number > 65535)
        return -1;
    if (text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    snprintf(address, LISTEN_ADDRESS_SIZE, "%.*s", (int)length, text);
    *port = (uint16_t)number;
    return 0;
}

static socklen_t fill(const char *address, uint16_t port, union socket_address *out)
{
    memset(out, 0, sizeof *out);
    if (strcmp(address, "localhost") == 0)
        address = "127.0.0.1";
    if (inet_pton(AF_INET, address, &out->four.sin_addr) == 1) {
        out->four.sin_family = AF_INET;
        out->four.sin_port = htons(port);
        return sizeof out->four;
    }
    if (inet_pton(AF_INET6, address, &out->six.sin6_addr) != 1)
        return 0;
    out->six.sin6_family = AF_INET6;
    out->six.sin6_port = htons(port);
    return sizeof out->six;
}

static int bind_and_listen(int fd, const union socket_address *address, socklen_t size)
{
    int one = 1;

    /* The port of a server that has just ended may be used again; that of a running server may
     * not. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    return bind(fd, &address->any, size) < 0 || listen(fd, BACKLOG) < 0 ? -1 : 0;
}

int listen_on(const char *address, uint16_t *port)
{
    union socket_address bound;
    socklen_t size = fill(address, *port, &bound);
    int fd, why;

    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(bound.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if (bind_and_listen(fd, &bound, size) == 0 && getsockname(fd, &bound.any, &size) == 0) {
        *port = ntohs(bound.any.sa_family == AF_INET ? bound.four.sin_port : bound.six.sin6_port);
        return fd;
    }
    why = errno;
    close(fd);
    errno = why;
    return -1;
}
