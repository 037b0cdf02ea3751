/* The table of calls: a row says who may make the call and which function answers it. */
#ifndef NIXFLEET_DASHBOARD_API_ROUTES_H
#define NIXFLEET_DASHBOARD_API_ROUTES_H

#include "dashboard/auth/auth.h"
#include "dashboard/server/http.h"

struct route {
    const char *method;
    const char *pattern; /* {host} and {run} stand for one part of the path */
    enum role role;
    void (*handle)(struct request *request);
    size_t body_max; /* bytes; 0: SMALL */
    int per_minute;  /* calls of one client to one path that has the role; 0: no limit */
};

/* What the server runs: finds the row of a request, checks who calls and how often, and lets the
 * handler answer; answers 404, 405, 401, 403 and 429 itself. */
extern const struct http_app api_app;

#endif
