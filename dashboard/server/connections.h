/* Bounds on connections: how long one may take to bring a request, and how many one client may
   have. libmicrohttpd closes a connection on which nothing arrives, but a client that sends a byte
   of a header now and then would hold it for ever, and with enough connections all of them. */
#ifndef NIXFLEET_DASHBOARD_SERVER_CONNECTIONS_H
#define NIXFLEET_DASHBOARD_SERVER_CONNECTIONS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "dashboard/server/settings.h"

struct connections;

#define CONNECTIONS_PER_CLIENT 256

/* Starts the thread that shuts down connections without a request for limit_ms. NULL when out of
 * resources. */
struct connections *connections_new(int64_t limit_ms, struct settings_in_use *settings);
/* After the HTTP server has stopped. */
void connections_free(struct connections *connections);

/* For MHD_start_daemon's accept policy; context is a struct connections. Refuses more than
 * CONNECTIONS_PER_CLIENT of one address (of IPv6: one /64), trusted proxies excepted; without a
 * list of proxies, loopback is. */
enum MHD_Result connections_accept(void *context, const struct sockaddr *address, socklen_t size);
/* For MHD_OPTION_NOTIFY_CONNECTION; context is a struct connections, *peer ours. */
void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code);
/* A request has begun (its header is whole), or has been answered. */
void connections_busy(struct connections *connections, struct MHD_Connection *connection,
                      bool busy);

#endif
