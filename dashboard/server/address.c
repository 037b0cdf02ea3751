#include "dashboard/server/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* before the four bytes of IPv4 */

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct address *address)
{
    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

static void set_v4(struct address *out, const void *four)
{
    memcpy(out->bytes, mapped, sizeof mapped);
    memcpy(out->bytes + sizeof mapped, four, 4);
}

/* The text without brackets and port. False if no address has this form. */
static bool bare(const char *text, size_t size, char out[ADDRESS_SIZE])
{
    const char *end = text + size, *colon = memchr(text, ':', size);

    if (size > 0 && text[0] == '[') {
        end = memchr(text, ']', size);
        if (!end || (end + 1 < text + size && end[1] != ':'))
            return false;
        text++;
    } else if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
        end = colon; /* IPv4 and a port */
    }
    if (end == text || (size_t)(end - text) >= ADDRESS_SIZE)
        return false;
    memcpy(out, text, (size_t)(end - text));
    out[end - text] = '\0';
    return true;
}

bool address_parse(const char *text, size_t size, struct address *out)
{
    char plain[ADDRESS_SIZE];
    struct in_addr four;

    if (!bare(text, size, plain))
        return false;
    if (inet_pton(AF_INET, plain, &four) == 1) {
        set_v4(out, &four);
        return true;
    }
    return inet_pton(AF_INET6, plain, out->bytes) == 1;
}

bool address_of_socket(const struct sockaddr *socket, struct address *out)
{
    if (socket->sa_family == AF_INET) {
        set_v4(out, &((const struct sockaddr_in *)(const void *)socket)->sin_addr);
        return true;
    }
    if (socket->sa_family != AF_INET6)
        return false;
    memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)socket)->sin6_addr, 16);
    return true;
}

void address_format(const struct address *address, char out[ADDRESS_SIZE])
{
    if (is_v4(address))
        inet_ntop(AF_INET, address->bytes + sizeof mapped, out, ADDRESS_SIZE);
    else
        inet_ntop(AF_INET6, address->bytes, out, ADDRESS_SIZE);
}

void address_key(const struct address *address, char out[ADDRESS_SIZE])
{
    struct address network = *address;

    if (!is_v4(address))
        memset(network.bytes + 8, 0, 8);
    address_format(&network, out);
}

bool address_loopback(const struct address *address)
{
    static const unsigned char one[16] = {[15] = 1};

    return is_v4(address) ? address->bytes[sizeof mapped] == 127
                          : memcmp(address->bytes, one, sizeof one) == 0;
}

static bool same_prefix(const struct address *a, const struct address *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a->bytes, b->bytes, whole) == 0 &&
           (rest == 0 || ((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0);
}

static bool parse_network(const char *text, size_t size, struct network *out)
{
    const char *slash = memchr(text, '/', size);
    size_t length = slash ? (size_t)(slash - text) : size, digits = size - length;
    unsigned most, given;

    if (memchr(text, '[', size) || !address_parse(text, length, &out->address))
        return false;
    if (is_v4(&out->address) != (memchr(text, '.', length) != NULL && !memchr(text, ':', length)))
        return false; /* with a port, or IPv4 mapped to IPv6 */
    most = is_v4(&out->address) ? 32 : 128;
    given = most;
    if (slash) {
        if (digits < 2 || digits > 4 || strspn(slash + 1, "0123456789") < digits - 1)
            return false;
        given = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    out->bits = given + (most == 32 ? MAPPED_BITS : 0);
    return given <= most;
}

int networks_parse(const char *list, struct networks *out, char bad[ADDRESS_SIZE])
{
    *out = (struct networks){0};
    bad[0] = '\0';
    for (const char *at = list + strspn(list, ", "); *at; at += strspn(at, ", ")) {
        size_t size = strcspn(at, ", ");
        struct network *grown = reallocarray(out->items, out->count + 1, sizeof *grown);

        if (!grown)
            return -1;
        out->items = grown;
        if (!parse_network(at, size, &out->items[out->count])) {
            snprintf(bad, ADDRESS_SIZE, "%.*s", (int)(size < 60 ? size : 60), at);
            return -1;
        }
        out->count++;
        at += size;
    }
    return 0;
}

void networks_free(struct networks *networks)
{
    free(networks->items);
    *networks = (struct networks){0};
}

bool networks_hold(const struct networks *networks, const struct address *address)
{
    for (size_t i = 0; i < networks->count; i++)
        if (same_prefix(&networks->items[i].address, address, networks->items[i].bits))
            return true;
    return false;
}

struct address address_behind_proxies(const struct networks *trusted, const struct address *peer,
                                      const char *forwarded)
{
    struct address client = *peer, entry;
    size_t end = forwarded ? strlen(forwarded) : 0;

    while (end > 0) {
        size_t start = end, first, last;

        while (start > 0 && forwarded[start - 1] != ',')
            start--;
        for (first = start; first < end && strchr(" \t", forwarded[first]); first++)
            ;
        for (last = end; last > first && strchr(" \t", forwarded[last - 1]); last--)
            ;
        if (!address_parse(forwarded + first, last - first, &entry))
            break;
        client = entry;
        if (!networks_hold(trusted, &entry))
            break;
        end = start > 0 ? start - 1 : 0;
    }
    return client;
}
