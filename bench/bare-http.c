/* The comparison for nixfleet-dashboard: the same HTTP library with the same number of threads. It
   reads each body, stores nothing, and answers 200 at once. What the dashboard costs beyond this is
   the price of checking, storing and sending.

   bare-http prints its port; ends at the end of its standard input */
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    static char answer[] = "{\"next\":1}";
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)context, (void)url, (void)method, (void)version, (void)upload;
    if (!*state) {
        *state = answer;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    response = MHD_create_response_from_buffer(strlen(answer), answer, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

int main(void)
{
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, NULL, MHD_OPTION_THREAD_POOL_SIZE, 2U,
        MHD_OPTION_CONNECTION_LIMIT, 20000U, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)10240,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096U, MHD_OPTION_END);
    const union MHD_DaemonInfo *info;
    char byte;

    if (!daemon || !(info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)))
        return 1;
    printf("listening on http://127.0.0.1:%u\n", info->port);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    MHD_stop_daemon(daemon);
    return 0;
}
