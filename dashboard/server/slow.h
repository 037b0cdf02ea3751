/* One thread for what takes long by nature (bcrypt): the threads that read requests never wait for
 * it. */
#ifndef NIXFLEET_DASHBOARD_SERVER_SLOW_H
#define NIXFLEET_DASHBOARD_SERVER_SLOW_H

#include <stdbool.h>

#include "dashboard/server/http.h"

struct slow;

/* NULL when out of resources. */
struct slow *slow_new(void);
/* Answers what waits with 503 and ends the thread: before the HTTP server is stopped. */
void slow_stop(struct slow *slow);
/* After it. */
void slow_free(struct slow *slow);

/* Suspends the request and does work on the thread, the newest first. work fills the request's
 * answer, or calls request_submit; it returns whether it did the latter. With too many waiting the
 * oldest is answered with 503 and Retry-After. */
void slow_submit(struct slow *slow, struct request *request, bool (*work)(struct request *));

#endif
