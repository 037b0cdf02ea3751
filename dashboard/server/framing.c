#include "dashboard/server/framing.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct seen {
    const char *length;
    int chunked, hosts;
    bool differs, odd, unknown;
};

/* RFC 9110, 5.6.2: the characters of a header's name. */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* libmicrohttpd 0.9.75 appends a folded line to the name of its header: from "Content-Length:" and
 * " 2" it makes the header "Content-Length2", and finds no length. */
static bool is_folded(const char *name, size_t size, const char *real)
{
    return size > strlen(real) && strncasecmp(name, real, strlen(real)) == 0;
}

static bool is_odd(const char *name, size_t name_size, const char *value, size_t value_size)
{
    return strspn(name, TOKEN) != name_size || is_folded(name, name_size, "Content-Length") ||
           is_folded(name, name_size, "Transfer-Encoding") ||
           (value && (strlen(value) != value_size || strpbrk(value, "\r\n")));
}

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  size_t name_size, const char *value, size_t value_size)
{
    struct seen *seen = context;

    (void)kind;
    if (is_odd(name, name_size, value, value_size))
        seen->odd = true;
    if (strcasecmp(name, "Host") == 0)
        seen->hosts++;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        seen->chunked++;
        seen->unknown = !value || strcasecmp(value, "chunked") != 0;
    }
    if (strcasecmp(name, "Content-Length") == 0) {
        if (seen->length && strcmp(seen->length, value ? value : "") != 0)
            seen->differs = true;
        seen->length = value ? value : "";
    }
    return MHD_YES;
}

static size_t parse_length(const char *digits)
{
    unsigned long long length;

    errno = 0;
    length = strtoull(digits, NULL, 10);
    return errno || length > SIZE_MAX ? SIZE_MAX : (size_t)length;
}

/* If two programs disagree about the end of a body, a request can be smuggled behind it. */
struct framing framing_check(struct MHD_Connection *connection)
{
    struct framing framing = {0};
    struct seen seen = {0};

    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_header, &seen);
    if (seen.odd || seen.hosts != 1)
        framing =
            (struct framing){.status = 400,
                             .reason = seen.odd ? "a header has a character that is not allowed"
                                                : "exactly one Host header is needed"};
    else if (seen.differs || seen.chunked > 1 || (seen.length && seen.chunked))
        framing = (struct framing){.status = 400, .reason = "the length of the body is ambiguous"};
    else if (seen.unknown) /* libmicrohttpd would read to the end of the connection */
        framing = (struct framing){.status = 501, .reason = "the transfer coding is unknown"};
    else if (seen.length &&
             (!*seen.length || strspn(seen.length, "0123456789") != strlen(seen.length)))
        framing = (struct framing){.status = 400, .reason = "Content-Length is not a number"};
    else if (seen.length)
        framing = (struct framing){.has_length = true, .length = parse_length(seen.length)};
    return framing;
}

static const char odd_target;

void *framing_see_target(void *context, const char *target, struct MHD_Connection *connection)
{
    size_t size = strcspn(target, "?");

    (void)context, (void)connection;
    for (size_t i = 0; i + 2 < size; i++)
        if (target[i] == '%' &&
            (strncmp(target + i + 1, "00", 2) == 0 || strncasecmp(target + i + 1, "2f", 2) == 0))
            return (void *)(uintptr_t)&odd_target;
    return NULL;
}

bool framing_target_odd(const void *state)
{
    return state == &odd_target;
}

const char *framing_path(const char *target)
{
    const char *path;

    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return target;
    path = strchr(strchr(target, ':') + 3, '/');
    return path ? path : "/";
}
