/* Checks that come before all others: only one way to read where the body ends, one Host, and a
   path that means the same before and after decoding. */
#ifndef NIXFLEET_DASHBOARD_SERVER_FRAMING_H
#define NIXFLEET_DASHBOARD_SERVER_FRAMING_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct framing {
    unsigned status;    /* to refuse it with; 0: it is in order */
    const char *reason; /* constant text */
    bool has_length;
    size_t length; /* Content-Length, SIZE_MAX when it is larger than that */
};

struct framing framing_check(struct MHD_Connection *connection);

/* For MHD_OPTION_URI_LOG_CALLBACK, which sees the target as it came; what this returns is a
   request's first state: framing_target_odd tells whether the path encodes a slash or a NUL, which
   would be gone after decoding. */
void *framing_see_target(void *context, const char *target, struct MHD_Connection *connection);
bool framing_target_odd(const void *state);

/* The path of a target in absolute form (RFC 9112, 3.2.2); any other target as it is. */
const char *framing_path(const char *target);

#endif
