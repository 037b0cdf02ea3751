/* Checks that come before all others: the end of the body must be clear, there must be exactly one
   Host, and the path must mean the same before and after decoding. */
#ifndef NIXFLEET_DASHBOARD_SERVER_FRAMING_H
#define NIXFLEET_DASHBOARD_SERVER_FRAMING_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct framing {
    unsigned status;    /* for the refusal; 0: the request is in order */
    const char *reason; /* constant text; for the refusal */
    bool has_length;
    size_t length; /* Content-Length; SIZE_MAX if it is larger */
};

/* Checks the headers of a request. */
struct framing framing_check(struct MHD_Connection *connection);

/* For MHD_OPTION_URI_LOG_CALLBACK, which gets the target before decoding. The result is the first
   state of a request: framing_target_odd tells whether the path encodes a slash or a NUL, which
   cannot be seen after decoding. */
void *framing_see_target(void *context, const char *target, struct MHD_Connection *connection);
bool framing_target_odd(const void *state);

/* The path of a target in absolute form (RFC 9112, 3.2.2); any other target as it is. */
const char *framing_path(const char *target);

#endif
