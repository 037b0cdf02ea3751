/* Finds the row of a request. */
#include "dashboard/api/routes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/api/limit.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/server.h"

#define KIB (size_t)1024
#define SMALL (4 * KIB) /* bytes of a body that has no long field */

static const struct route routes[] = {
    {"POST", "/api/hosts/{host}/logs", ROLE_AGENT, post_logs, BODY_MAX, 0},
    {"POST", "/api/hosts/{host}/heartbeat", ROLE_AGENT, post_heartbeat, 256 * KIB, 0},
    {"GET", "/api/hosts/{host}/logs", ROLE_VIEW, get_logs, 0, 0},
    {"GET", "/api/hosts/{host}/runs", ROLE_VIEW, get_runs, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}", ROLE_VIEW, get_run, 0, 0},
    {"DELETE", "/api/hosts/{host}/runs/{run}", ROLE_CHANGE, delete_run, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/log", ROLE_VIEW, get_run_log, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/lines", ROLE_VIEW, get_run_lines, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/derivations", ROLE_VIEW, get_derivations, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/derivations/{n}/lines", ROLE_VIEW, get_build_lines, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/derivations/{n}/log", ROLE_VIEW, get_build_log, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/changes", ROLE_VIEW, get_changed, 0, 0},
    {"GET", "/api/hosts/{host}/runs/{run}/search", ROLE_VIEW, get_run_search, 0, 0},
    {"GET", "/api/runs", ROLE_VIEW, get_all_runs, 0, 0},
    {"GET", "/api/search", ROLE_VIEW, get_search, 0, 0},
    {"GET", "/api/hosts", ROLE_VIEW, get_hosts, 0, 0},
    {"GET", "/api/hosts/{host}", ROLE_VIEW, get_host, 0, 0},
    {"GET", "/api/ws", ROLE_VIEW, get_websocket, 0, 0},
    {"GET", "/api/events", ROLE_VIEW, get_events, 0, 0},
    {"GET", "/api/session", ROLE_OPEN, get_session, 0, 0},
    {"GET", "/metrics", ROLE_VIEW, get_metrics, 0, 0},
    {"GET", "/health", ROLE_OPEN, get_health, 0, 0},
    {"POST", "/api/hosts/{host}/register", ROLE_AGENT, post_register, 64 * KIB, 30},
    {"GET", "/api/hosts/{host}/poll", ROLE_AGENT, get_poll, 0, 60},
    {"POST", "/api/hosts/{host}/status", ROLE_AGENT, post_status, 128 * KIB, 30},
    {"POST", "/api/hosts/{host}/test-progress", ROLE_AGENT, post_test_progress, 64 * KIB, 60},
    {"POST", "/api/hosts/{host}/command", ROLE_CHANGE, post_command, 0, 0},
    {"DELETE", "/api/hosts/{host}/command", ROLE_CHANGE, delete_command, 0, 0},
    {"POST", "/api/hosts/{host}/agent-token", ROLE_CHANGE, post_agent_token, 0, 0},
    {"GET", "/api/hosts/{host}/logs/download", ROLE_VIEW, get_logs_download, 0, 0},
    {"POST", "/api/hosts", ROLE_CHANGE, post_hosts, 0, 0},
    {"PATCH", "/api/hosts/{host}", ROLE_CHANGE, patch_host, 16 * KIB, 0},
    {"DELETE", "/api/hosts/{host}", ROLE_CHANGE, delete_host, 0, 0},
    {"GET", "/api/metrics", ROLE_VIEW, get_api_metrics, 0, 0},
    {"POST", "/api/nixcfg/refresh", ROLE_CHANGE, post_nixcfg_refresh, 0, 0},
    {"GET", "/api/sign-in", ROLE_OPEN, get_sign_in, 0, 0},
    {"POST", "/login", ROLE_OPEN, post_login, 0, 5},
    {"POST", "/logout", ROLE_OPEN, post_logout, 0, 0},
};
#define ROUTES (sizeof routes / sizeof *routes)

#define DIGITS_MAX 9

static bool match_number(const char *part, size_t length, int64_t *number)
{
    *number = 0;
    if (length == 0 || length > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (part[i] < '0' || part[i] > '9')
            return false;
        *number = *number * 10 + (part[i] - '0');
    }
    return true;
}

/* Matches one part of a path against one part of a pattern. */
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
    if (pattern_length == 3 && memcmp(pattern, "{n}", 3) == 0)
        return match_number(part, length, &request->number);
    return length == pattern_length && memcmp(part, pattern, length) == 0;
}

static bool match(struct request *request, const char *path, const char *pattern, bool *bad_host)
{
    while (*path == '/' && *pattern == '/') {
        size_t length = strcspn(++path, "/"), pattern_length = strcspn(++pattern, "/");

        if (!match_part(request, path, length, pattern, pattern_length, bad_host))
            return false;
        path += length;
        pattern += pattern_length;
    }
    return *path == '\0' && *pattern == '\0';
}

/* HEAD means GET without the body, except for calls that remove something. */
static bool method_fits(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0 &&
            route->role != ROLE_AGENT);
}

static bool reads(const struct request *request)
{
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

/* The row of the request. NULL: none; then request->answer.allow lists the methods that the path
 * has (empty: the path is unknown). */
static const struct route *find_route(struct request *request, bool *bad_host)
{
    char *allow = request->answer.allow;

    for (size_t i = 0; i < ROUTES; i++) {
        bool bad = false;

        if (!match(request, request->path, routes[i].pattern, &bad))
            continue;
        if (method_fits(&routes[i], request->method)) {
            *bad_host = bad;
            allow[0] = '\0';
            return &routes[i];
        }
        snprintf(allow + strlen(allow), sizeof request->answer.allow - strlen(allow), "%s%s",
                 *allow ? ", " : "", routes[i].method);
    }
    return NULL;
}

/* Whether the path ends with one of ours: a proxy passes a prefix on. */
static bool has_prefix(struct request *request)
{
    const char *prefix = request_header(request, "X-Forwarded-Prefix");
    const char *at = request->path;
    bool bad;

    if (prefix && *prefix && strcmp(prefix, "/") != 0)
        return true;
    while (*at && (at = strchr(at + 1, '/'))) {
        if (asset_known(at))
            return true;
        for (size_t i = 0; i < ROUTES; i++)
            if (match(request, at, routes[i].pattern, &bad))
                return true;
    }
    return false;
}

static void answer_no_route(struct request *request)
{
    if (*request->answer.allow)
        answer_detail(request, 405, "Method Not Allowed");
    else if (has_prefix(request))
        answer_detail(request, 404,
                      "Not Found: the dashboard cannot be served below a path prefix. Give it a "
                      "host name of its own, such as fleet.example.org, and let the proxy pass "
                      "paths unchanged.");
    else
        answer_detail(request, 404, "Not Found");
}

/* A web page that a developer visits can make its own name point to 127.0.0.1 (DNS rebinding), and
 * --dev has no sign-in. */
static bool names_loopback(const char *host)
{
    size_t size = strcspn(host, ":"); /* without the port */
    struct address address;

    if (address_parse(host, strlen(host), &address))
        return address_loopback(&address);
    return (size == 9 && strncasecmp(host, "localhost", 9) == 0) ||
           (size > 10 && strncasecmp(host + size - 10, ".localhost", 10) == 0);
}

static bool host_allowed(struct request *request)
{
    const char *host = request_header(request, "Host");

    if (!request->server->dev || (host && names_loopback(host)))
        return true;
    answer_detail(request, 403,
                  "With --dev the dashboard answers to localhost, 127.0.0.1 and [::1] only, not to "
                  "the name in Host");
    return false;
}

/* The role of the caller is checked before anything is counted or read, so that a stranger can use
 * up neither the rate limit of others nor memory. */
static bool admitted(struct request *request)
{
    bool bad_host = false;
    const struct route *route;

    if (!host_allowed(request))
        return false;
    if (request_header(request, "X-Forwarded-Prefix") && has_prefix(request)) {
        answer_no_route(request);
        return false;
    }
    request->route = route = find_route(request, &bad_host);
    request->body_max = route && route->body_max ? route->body_max : SMALL;
    if (!route && reads(request) && asset_known(request->path))
        return true; /* a path may have both calls and a file: /login */
    if (!route)
        answer_no_route(request);
    else if (bad_host)
        answer_detail(request, 400, "Invalid host ID format");
    return route && !bad_host && auth_allows(request, route->role) && limit_allows(request);
}

static void admit(struct request *request)
{
    request->refused = !admitted(request);
}

static void handle(struct request *request)
{
    if (request->route)
        request->route->handle(request);
    else
        get_asset(request);
}

static void stop_live(struct server *server)
{
    live_stop(server->live);
}

const struct http_app api_app = {.admit = admit, .handle = handle, .stop = stop_live};
