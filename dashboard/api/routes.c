/* Finding the row of a request. */
#include "dashboard/api/routes.h"

#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/server/server.h"

static const struct route routes[] = {
    {"POST", "/api/hosts/{host}/logs", ROLE_AGENT, post_logs, 0},
    {"POST", "/api/hosts/{host}/heartbeat", ROLE_AGENT, post_heartbeat, 0},
    {"GET", "/api/hosts/{host}/logs", ROLE_VIEW, get_logs, 0},
    {"GET", "/api/hosts/{host}/runs", ROLE_VIEW, get_runs, 0},
    {"GET", "/api/hosts/{host}/runs/{run}", ROLE_VIEW, get_run, 0},
    {"DELETE", "/api/hosts/{host}/runs/{run}", ROLE_CHANGE, delete_run, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/log", ROLE_VIEW, get_run_log, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/lines", ROLE_VIEW, get_run_lines, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/search", ROLE_VIEW, get_run_search, 0},
    {"GET", "/api/runs", ROLE_VIEW, get_all_runs, 0},
    {"GET", "/api/search", ROLE_VIEW, get_search, 0},
    {"GET", "/api/hosts", ROLE_VIEW, get_hosts, 0},
    {"GET", "/api/hosts/{host}", ROLE_VIEW, get_host, 0},
    {"GET", "/api/ws", ROLE_VIEW, get_websocket, 0},
    {"GET", "/api/events", ROLE_VIEW, get_events, 0},
    {"GET", "/metrics", ROLE_VIEW, get_metrics, 0},
    {"GET", "/health", ROLE_OPEN, get_health, 0},
    {"POST", "/api/hosts/{host}/register", ROLE_OPEN, post_register,
     30}, /* these four check form, limit, host and token in v1's order */
    {"GET", "/api/hosts/{host}/poll", ROLE_OPEN, get_poll, 60},
    {"POST", "/api/hosts/{host}/status", ROLE_OPEN, post_status, 30},
    {"POST", "/api/hosts/{host}/test-progress", ROLE_OPEN, post_test_progress, 60},
    {"POST", "/api/hosts/{host}/command", ROLE_CHANGE, post_command, 0},
    {"DELETE", "/api/hosts/{host}/command", ROLE_CHANGE, delete_command, 0},
    {"POST", "/api/hosts/{host}/agent-token", ROLE_CHANGE, post_agent_token, 0},
    {"GET", "/api/hosts/{host}/logs/download", ROLE_VIEW, get_logs_download, 0},
    {"POST", "/api/hosts", ROLE_CHANGE, post_hosts, 0},
    {"PATCH", "/api/hosts/{host}", ROLE_PERSON, patch_host, 0},
    {"DELETE", "/api/hosts/{host}", ROLE_CHANGE, delete_host, 0},
    {"GET", "/api/metrics", ROLE_VIEW, get_api_metrics, 0},
    {"POST", "/api/nixcfg/refresh", ROLE_CHANGE, post_nixcfg_refresh, 0},
    {"GET", "/api/sign-in", ROLE_OPEN, get_sign_in, 0},
    {"POST", "/login", ROLE_OPEN, post_login, 5},
    {"POST", "/logout", ROLE_OPEN, post_logout, 0},
};

/* One part of a path against one of a pattern. */
static bool match_part(struct request *request, const char *part, size_t length,
                       const char *pattern, size_t pattern_length, bool *bad_host)
{
    char text[HOST_ID_SIZE];

    if (pattern_length == 6 && memcmp(pattern, "{host}", 6) == 0) {
        if (length == 0)
            return false;
        snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : sizeof text - 1),
                 part);
        *bad_host = length >= sizeof text || !host_id_normalize(text, request->host);
        return true;
    }
    if (pattern_length == 5 && memcmp(pattern, "{run}", 5) == 0) {
        snprintf(request->run, sizeof request->run, "%.*s",
                 (int)(length < RUN_ID_SIZE ? length : RUN_ID_SIZE - 1), part);
        return length == RUN_ID_SIZE - 1 && run_id_valid(request->run);
    }
    return length == pattern_length && memcmp(part, pattern, length) == 0;
}

static bool match(struct request *request, const char *pattern, bool *bad_host)
{
    const char *path = request->path;

    while (*path == '/' && *pattern == '/') {
        size_t length = strcspn(++path, "/"), pattern_length = strcspn(++pattern, "/");

        if (!match_part(request, path, length, pattern, pattern_length, bad_host))
            return false;
        path += length;
        pattern += pattern_length;
    }
    return *path == '\0' && *pattern == '\0';
}

static bool within_limit(struct request *request, const struct route *route)
{
    int64_t wait;

    if (!route->per_minute || !request->server->limits)
        return true;
    wait = ratelimit_take(request->server->limits, request->address, request->path,
                          route->per_minute, monotonic_ms());
    if (wait == 0)
        return true;
    answer_detail(request, 429, "Too many requests: %d per 1 minute", route->per_minute);
    request->answer.retry_after_s = (int)((wait + 999) / 1000);
    return false;
}

static void serve(struct request *request, const struct route *route, bool bad_host)
{
    if (!within_limit(request, route))
        return;
    if (bad_host)
        answer_detail(request, 400, "Invalid host ID format");
    else if (auth_allows(request, route->role))
        route->handle(request);
}

static void route_request(struct request *request)
{
    bool path_known = false;

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        bool bad_host = false,
             head = strcmp(request->method, "HEAD") == 0 && strcmp(routes[i].method, "GET") == 0;

        if (!match(request, routes[i].pattern, &bad_host))
            continue;
        path_known = true;
        if (head || strcmp(request->method, routes[i].method) == 0) {
            serve(request, &routes[i], bad_host);
            return;
        }
    }
    /* A path may have a page beside its rows: /login has both. */
    if ((strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0) &&
        get_asset(request))
        return;
    if (path_known)
        answer_detail(request, 405, "Method Not Allowed");
    else
        answer_detail(request, 404, "Not Found");
}

static void stop_live(struct server *server)
{
    live_stop(server->live);
}

const struct http_app api_app = {
    .handle = route_request, .find_address = auth_proxied_address, .stop = stop_live};
