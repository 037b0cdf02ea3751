/* A connection without a request is shut down; one with requests is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dashboard/server/connections.h"
#include "dashboard/server/settings.h"

static struct connections *connections;

static void over(void *context, struct MHD_Connection *connection, void **state,
                 enum MHD_RequestTerminationCode code)
{
    (void)context, (void)state, (void)code;
    connections_busy(connections, connection, false);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *size, void **state)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)context, (void)url, (void)method, (void)version, (void)upload, (void)size;
    if (!*state) {
        *state = &connections;
        connections_busy(connections, connection, true);
        return MHD_YES;
    }
    response = MHD_create_response_from_buffer(2, (void *)"ok", MHD_RESPMEM_PERSISTENT);
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* True while nothing has arrived and the server has not closed the connection. */
static bool open_still(int fd, int wait_ms)
{
    struct pollfd heard = {.fd = fd, .events = POLLIN};

    return poll(&heard, 1, wait_ms) == 0;
}

static void a_header_without_an_end_is_cut_and_a_working_connection_is_not(void **state)
{
    struct settings_in_use in_use = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct problems problems = {0};
    struct MHD_Daemon *daemon;
    int slow, busy;
    uint16_t port;
    char answer[512];

    (void)state;
    assert_int_equal(settings_use(&in_use, dashboard_settings_load(NULL, &problems)), 0);
    connections = connections_new(3000, &in_use);
    daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, NULL,
                              MHD_OPTION_NOTIFY_COMPLETED, over, NULL, MHD_OPTION_NOTIFY_CONNECTION,
                              connections_notify, connections, MHD_OPTION_END);
    assert_non_null(daemon);
    port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    slow = connect_to(port);
    busy = connect_to(port);
    assert_int_equal(write(slow, "GET / HTTP/1.1\r\nX:", 18), 18);
    /* both send bytes from time to time, but only one sends requests */
    for (int i = 0; open_still(slow, 200) && i < 200; i++) {
        assert_true(write(slow, "x", 1) <= 1);
        assert_int_equal(write(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 27);
        assert_true(read(busy, answer, sizeof answer) > 12);
    }
    assert_int_equal(read(slow, answer, sizeof answer) > 0, 0);
    assert_int_equal(write(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 27);
    assert_true(read(busy, answer, sizeof answer) > 12);
    close(slow);
    close(busy);
    MHD_stop_daemon(daemon);
    connections_free(connections);
    settings_forget(&in_use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_without_an_end_is_cut_and_a_working_connection_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
