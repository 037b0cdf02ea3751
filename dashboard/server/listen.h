/* The listening socket. libmicrohttpd does not make it, so that a second server on the same port is
   refused (no SO_REUSEPORT) and the reason is known. */
#ifndef NIXFLEET_DASHBOARD_SERVER_LISTEN_H
#define NIXFLEET_DASHBOARD_SERVER_LISTEN_H

#include <stdint.h>

#define LISTEN_ADDRESS_SIZE 64

/* Splits "ADDRESS:PORT" or "[IPv6]:PORT". Returns 0, or -1 if the text has another form. */
int listen_split(const char *text, char address[LISTEN_ADDRESS_SIZE], uint16_t *port);

/* Listens on a numeric address, or "localhost" for 127.0.0.1. *port 0: chooses a free port and
   stores it in *port. Returns a non-blocking, close-on-exec descriptor, or -1 with errno; EINVAL:
   not an address. */
int listen_on(const char *address, uint16_t *port);

#endif
