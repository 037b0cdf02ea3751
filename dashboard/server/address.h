/* Addresses of clients: one form for each, the networks that an admin lists, and the client behind
   trusted proxies. Pure functions. */
#ifndef NIXFLEET_DASHBOARD_SERVER_ADDRESS_H
#define NIXFLEET_DASHBOARD_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_SIZE 64

/* IPv4 is stored in its IPv6-mapped form (RFC 4291, 2.5.5.2), so that both forms are equal. */
struct address {
    unsigned char bytes[16];
};

struct network {
    struct address address;
    unsigned bits; /* of the 128 */
};

/* A list of networks; networks_free frees it. */
struct networks {
    struct network *items;
    size_t count;
};

/* Parses size bytes: "192.0.2.1", "2001:db8::1", each also with ":PORT" as proxies write it
   ("192.0.2.1:80", "[2001:db8::1]:80"), or in brackets. False for anything else. */
bool address_parse(const char *text, size_t size, struct address *out);
/* The address of a socket's peer. False for a family without such addresses. */
bool address_of_socket(const struct sockaddr *socket, struct address *out);
/* Writes the canonical form (RFC 5952). */
void address_format(const struct address *address, char out[ADDRESS_SIZE]);
/* Writes the key under which a client is counted: an IPv4 address, or the /64 of an IPv6 address,
   because a provider gives each customer at least a /64. */
void address_key(const struct address *address, char out[ADDRESS_SIZE]);
/* 127.0.0.0/8 and ::1. */
bool address_loopback(const struct address *address);

/* Parses a list of addresses and CIDR networks, separated by commas or spaces. Returns 0; or -1
   with the first wrong entry (shortened) in bad, or "" there when out of memory. To be freed in
   both cases. */
int networks_parse(const char *list, struct networks *out, char bad[ADDRESS_SIZE]);
void networks_free(struct networks *networks);
bool networks_hold(const struct networks *networks, const struct address *address);

/* The client of a request from peer with this X-Forwarded-For (NULL: none; several headers are
   joined by commas in their order). The client is the right-most entry that is not a trusted proxy,
   because each proxy appends the address that it saw. Entries to the left of it come from the
   client itself. If an entry is not an address, the result is the proxy that wrote it. */
struct address address_behind_proxies(const struct networks *trusted, const struct address *peer,
                                      const char *forwarded);

#endif
