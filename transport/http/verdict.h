/* What the status of an answer means for the sender: the one table for lines, heartbeats and
 * deliveries (docs/protocol.md). */
#ifndef NIXFLEET_VERDICT_H
#define NIXFLEET_VERDICT_H

#include "client.h"

enum verdict {
    VERDICT_TAKEN,     /* 200, 201, 202, 204 */
    VERDICT_RETRY,     /* no answer, or a passing fault: the same again after a pause */
    VERDICT_WAIT,      /* the same again after answer->retry_after_ms */
    VERDICT_DENIED,    /* 401, 403: with another token, or not at all */
    VERDICT_ABSENT,    /* 404, 405: there is no such call, now at least */
    VERDICT_CONFLICT,  /* 409: the dashboard has something else than the sender believes */
    VERDICT_GONE,      /* 410 of a dashboard (JSON with an error): never again for this run */
    VERDICT_TOO_LARGE, /* 413: a smaller body */
    VERDICT_REFUSED    /* another 4xx: this body will not be taken */
};

/* The meaning of any answer that client_wait returned. */
enum verdict verdict_of(const struct client_answer *answer);

#endif
