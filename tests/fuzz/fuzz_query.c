/* Request lines for the whole server, in this process: for any path and query, the answer is a
   valid HTTP answer, and never "internal error". The first byte selects the call. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dashboard/api/routes.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/listen.h"
#include "dashboard/server/server.h"

#define RUN "01900000-0000-7000-8000-000000000001"

static uint16_t port;

static const char *const calls[] = {
    "/api/hosts/a/logs?run=" RUN "&since=",
    "/api/hosts/a/logs?limit=",
    "/api/hosts/a/runs?before=",
    "/api/hosts/a/runs/" RUN "/lines?from=",
    "/api/hosts/a/runs/" RUN "/search?q=",
    "/api/hosts/a/runs/" RUN "/log?color=",
    "/api/hosts/",
    "/api/hosts/a/logs/download?format=",
    "/static/",
    "/",
};

static int connected(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        abort();
    return fd;
}

/* Sends a whole request and reads until the connection ends. */
static size_t exchange(const char *request, size_t size, char *answer, size_t capacity)
{
    int fd = connected();
    size_t got = 0;
    ssize_t n;

    if (send(fd, request, size, MSG_NOSIGNAL) < 0) {
        close(fd);
        return 0;
    }
    shutdown(fd, SHUT_WR);
    while (got + 1 < capacity && (n = recv(fd, answer + got, capacity - got - 1, 0)) > 0)
        got += (size_t)n;
    answer[got] = '\0';
    close(fd);
    return got;
}

static void start(void)
{
    static char dir[256];
    static struct server server = {.dev = true, .settings = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    struct problems problems = {0};
    int listener;
    static const char body[] =
        "{\"run\":\"" RUN "\",\"lines\":[\"one\",\"\\u001b[31mtwo\\u001b[0m\",\"three\"]}";
    char error[STORE_ERROR_SIZE], request[512], answer[4096];
    int size;

    setenv("NIXFLEET_API_TOKEN", "t", 1);
    setenv("NIXFLEET_RUN_MB", "1", 1);
    snprintf(dir, sizeof dir, "%s/query.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir) || !(server.store = store_open(dir, error)) ||
        !(server.live = live_start(&server)) || (listener = listen_on("127.0.0.1", &port)) < 0 ||
        settings_use(&server.settings, dashboard_settings_load(NULL, &problems)) < 0 ||
        !http_start(&server, &api_app, listener))
        abort();
    size =
        snprintf(request, sizeof request,
                 "POST /api/hosts/a/logs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n"
                 "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                 sizeof body - 1, body);
    exchange(request, (size_t)size, answer, sizeof answer);
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char request[8192], answer[262144];
    size_t length;

    if (!port)
        start();
    if (size < 1 || size > 2000)
        return 0;
    length = (size_t)snprintf(request, sizeof request, "GET %s",
                              calls[bytes[0] % (sizeof calls / sizeof *calls)]);
    for (size_t i = 1; i < size; i++) /* the end of the line is not tested here */
        request[length++] =
            bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == 0 ? '%' : (char)bytes[i];
    length += (size_t)snprintf(request + length, sizeof request - length,
                               " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if (exchange(request, length, answer, sizeof answer) &&
        (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, "50", 2) == 0))
        abort();
    return 0;
}
