/* What the status of an answer means for the sender: one table for lines, heartbeats and deliveries
 * (docs/protocol.md). */
#ifndef NIXFLEET_VERDICT_H
#define NIXFLEET_VERDICT_H

#include "client.h"

enum verdict {
    VERDICT_TAKEN,     /* 200, 201, 202, 204 */
    VERDICT_RETRY,     /* no answer, or a temporary failure: send the same again after a pause */
    VERDICT_WAIT,      /* send the same again after answer->retry_after_ms */
    VERDICT_DENIED,    /* 401, 403: try another token, or stop */
    VERDICT_ABSENT,    /* 404, 405: there is no such call, at least now */
    VERDICT_CONFLICT,  /* 409: the dashboard has other lines than the sender assumes */
    VERDICT_GONE,      /* 410 from a dashboard (JSON with an error): never send this run again */
    VERDICT_TOO_LARGE, /* 413: send a smaller body */
    VERDICT_REFUSED    /* another 4xx: this body will not be accepted */
};

/* The meaning of any answer that client_wait returned. */
enum verdict verdict_of(const struct client_answer *answer);

#endif
