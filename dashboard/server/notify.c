#include "dashboard/server/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_send(const char *lines)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = name ? strlen(name) : 0;
    int fd;

    if (size < 2 || size >= sizeof address.sun_path || !strchr("/@", name[0]))
        return;
    memcpy(address.sun_path, name, size);
    if (name[0] == '@') /* the abstract name space of Linux */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    if (sendto(fd, lines, strlen(lines), 0, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0) {
        /* on failure, systemd's time limits apply */
    }
    close(fd);
}

void notify_reloading(void)
{
    char lines[64];
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify_send(lines);
}

int64_t notify_watchdog_ms(void)
{
    const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!period || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoll(period, NULL, 10) / 3000;
}
