#include "dashboard/api/limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/api/api.h"
#include "dashboard/api/routes.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/server/server.h"

/* Whether a browser will show the answer to a person. */
static bool from_a_form(const struct request *request)
{
    const char *accepted = request_header(request, "Accept");

    return accepted && strstr(accepted, "text/html");
}

static void refuse(struct request *request, int64_t wait_ms)
{
    bool signs_in = request->route->handle == post_login;

    if (signs_in)
        log_line(LOG_WARNING, "refused sign-in from %s: too many tries", request->address);
    request->answer.retry_after_s = (int)((wait_ms + 999) / 1000);
    if (signs_in && from_a_form(request)) {
        request->answer.status = 303; /* a person would see bare JSON */
        snprintf(request->answer.location, sizeof request->answer.location,
                 "/login?error=Too+many+tries:+wait+a+minute");
        return;
    }
    answer_detail(request, 429, "Too many requests: %d per 1 minute", request->route->per_minute);
}

/* Sign-ins have a table of their own, because each of them is counted on all servers before the
 * password is checked. */
static struct ratelimit *table_of(const struct request *request)
{
    return request->route->handle == post_login ? request->server->sign_ins
                                                : request->server->limits;
}

bool limit_allows(struct request *request)
{
    int per_minute = request->route->per_minute;
    int64_t wait_ms;

    if (!per_minute)
        return true;
    wait_ms = ratelimit_take(table_of(request), request->client, request->path, per_minute,
                             monotonic_ms());
    if (wait_ms < 0)
        answer_no_memory(request);
    else if (wait_ms > 0)
        refuse(request, wait_ms);
    return wait_ms == 0;
}

/* ---- all servers ---- */

struct count {
    struct calls_row row;
    bool (*then)(struct request *request);
};

static enum job_result apply_count(struct txn *txn, struct request *request, void *context)
{
    struct count *count = context;

    (void)request;
    return txn_calls_add(txn, RATELIMIT_WINDOW_MS, &count->row, 1) < 0 ? JOB_FAILED : JOB_DONE;
}

static bool counted(struct request *request)
{
    const struct count *count = request->context;
    const struct calls_row *row = &count->row;

    if (row->calls <= request->route->per_minute)
        return count->then(request);
    refuse(request, RATELIMIT_WINDOW_MS - row->age_ms);
    return false;
}

void limit_on_all_servers(struct request *request, bool (*then)(struct request *request))
{
    struct count *count = calloc(1, sizeof *count);

    if (!count || ratelimit_key(request->client, request->path, count->row.key) < 0) {
        free(count);
        answer_no_memory(request);
        return;
    }
    count->row.added = 1;
    count->then = then;
    request->after = counted;
    request_submit(request, apply_count, count, free);
}
