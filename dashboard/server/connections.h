/* A bound on how long a connection may take to bring a request. libmicrohttpd closes one on which
   nothing arrives, but who sends a byte of a header now and then would hold one for ever, and with
   enough of them all. */
#ifndef NIXFLEET_DASHBOARD_SERVER_CONNECTIONS_H
#define NIXFLEET_DASHBOARD_SERVER_CONNECTIONS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct connections;

/* Starts the thread that looks: a connection that has been without a request for limit_ms is shut
 * down. NULL when out of resources. */
struct connections *connections_new(int64_t limit_ms);
/* After the HTTP server has stopped. */
void connections_free(struct connections *connections);

/* For MHD_OPTION_NOTIFY_CONNECTION; context is a struct connections, *peer ours. */
void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code);
/* A request has begun (its header is whole), or has been answered. */
void connections_busy(struct connections *connections, struct MHD_Connection *connection,
                      bool busy);

#endif
