/* Roles: tokens of hosts, the view token, sessions of people, and the CSRF token of a change. */
#include "dashboard/auth/auth.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/io.h"
#include "dashboard/auth/secret.h"
#include "dashboard/server/server.h"

static const char *bearer(const struct request *request)
{
    const char *header = request_header(request, "Authorization");

    return header && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

/* True for the shared token or this host's own, as v1 accepts them. */
static bool is_agent(const struct request *request)
{
    const struct dashboard_settings *settings = &request->server->settings;
    const char *token = bearer(request);
    char own[TOKEN_HASH_SIZE] = "", given[TOKEN_HASH_SIZE];
    bool has_own;

    if (!token)
        return false;
    /* v1 also allows the shared token to a host that has its own, unless told otherwise. */
    has_own = store_host_token(request->server->store, request->host, own);
    if (settings->api_token && secret_equal(token, settings->api_token))
        return !has_own || settings->allow_shared_agent_token;
    return has_own && settings->agent_token_hash_secret &&
           token_hash(settings->agent_token_hash_secret, token, given) == 0 &&
           secret_equal(given, own);
}

/* The token of the session cookie, if it is signed, of now, and known. */
static bool find_session(const struct request *request, char token[TOKEN_SIZE])
{
    const char *cookie =
        MHD_lookup_connection_value(request->connection, MHD_COOKIE_KIND, "nixfleet_session");
    const struct dashboard_settings *settings = &request->server->settings;
    char hash[TOKEN_HASH_SIZE];

    return cookie && settings->session_secrets &&
           cookie_verify(settings->session_secrets, cookie, wall_ms() / 1000, token) &&
           token_hash(settings->session_secrets, token, hash) == 0 &&
           store_session_valid(request->server->store, hash, wall_ms());
}
bool auth_session(const struct request *request, char token[TOKEN_SIZE])
{
    return find_session(request, token);
}

bool auth_csrf(struct request *request, char out[65])
{
    char token[TOKEN_SIZE];

    if (request->server->dev) {
        snprintf(out, 65, "%s", request->server->dev_csrf);
        return true;
    }
    return find_session(request, token) &&
           csrf_make(request->server->settings.session_secrets, token, out) == 0;
}

static bool is_person(const struct request *request)
{
    char token[TOKEN_SIZE];

    return request->server->dev || find_session(request, token);
}

static bool may_view(const struct request *request)
{
    const char *token = bearer(request);

    return is_person(request) || (token && request->server->settings.view_token &&
                                  secret_equal(token, request->server->settings.view_token));
}

static bool csrf_matches(struct request *request)
{
    char expected[65];

    return auth_csrf(request, expected) &&
           secret_equal(request_header(request, "X-CSRF-Token"), expected);
}

bool auth_allows(struct request *request, enum role role)
{
    bool allowed = role == ROLE_OPEN || (role == ROLE_AGENT && is_agent(request)) ||
                   (role == ROLE_VIEW && may_view(request)) ||
                   (role >= ROLE_PERSON && is_person(request));

    if (!allowed) {
        answer_detail(request, 401,
                      role == ROLE_AGENT ? "Invalid or missing token" : "Not authenticated");
        return false;
    }
    if (role == ROLE_CHANGE && !csrf_matches(request)) {
        answer_detail(request, 403, "Invalid CSRF token");
        return false;
    }
    return true;
}

/* X-Forwarded-For's left-most address, or X-Real-IP: only from a proxy that is listed (or any, if
 * none is). */
void auth_proxied_address(struct request *request)
{
    const struct dashboard_settings *settings = &request->server->settings;
    const char *given;
    unsigned char parsed[16];
    char address[64];

    if (!settings->trust_proxy_headers)
        return;
    if (settings->trusted_proxies) {
        const char *at = strstr(settings->trusted_proxies, request->address);
        size_t length = strlen(request->address);

        if (!at || (at[length] && !strchr(", ", at[length])) ||
            (at > settings->trusted_proxies && !strchr(", ", at[-1])))
            return;
    }
    given = request_header(request, "X-Forwarded-For");
    if (!given)
        given = request_header(request, "X-Real-IP");
    if (!given)
        return;
    given += strspn(given, " ");
    snprintf(address, sizeof address, "%.*s", (int)strcspn(given, ", "), given);
    if (inet_pton(AF_INET, address, parsed) == 1 || inet_pton(AF_INET6, address, parsed) == 1)
        snprintf(request->address, sizeof request->address, "%s", address);
}
