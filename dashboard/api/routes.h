/* The table of calls: each row says who may make a call and which function answers it. */
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
    int per_minute;  /* calls of one client to one path, after the role was checked; 0: no limit */
};

/* The app for the server: finds the row of a request, checks the caller's role and rate, and calls
 * the handler. Answers 404, 405, 401, 403 and 429 itself. */
extern const struct http_app api_app;

#endif
