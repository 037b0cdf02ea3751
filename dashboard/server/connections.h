/* Limits for connections: how long a connection may be open without a request, and how many
   connections one client may have. libmicrohttpd closes a connection on which nothing arrives, but
   a client that sends a byte of a header from time to time could hold all connections for ever. */
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
/* To be called after the HTTP server has stopped. */
void connections_free(struct connections *connections);

/* The accept policy for MHD_start_daemon; context is a struct connections. Refuses more than
 * CONNECTIONS_PER_CLIENT connections of one address (of IPv6: one /64), except of trusted proxies;
 * without a list of proxies, except of loopback. */
enum MHD_Result connections_accept(void *context, const struct sockaddr *address, socklen_t size);
/* For MHD_OPTION_NOTIFY_CONNECTION; context is a struct connections, *peer belongs to this
 * module. */
void connections_notify(void *context, struct MHD_Connection *connection, void **peer,
                        enum MHD_ConnectionNotificationCode code);
/* To be called when a request has begun (its header is complete), and when it was answered. */
void connections_busy(struct connections *connections, struct MHD_Connection *connection,
                      bool busy);

#endif
