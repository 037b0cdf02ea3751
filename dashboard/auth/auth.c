/* Roles: tokens of hosts, the view token, sessions of people, and CSRF tokens. */
#include "dashboard/auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/auth/secret.h"
#include "dashboard/server/server.h"

#define VIEW_KEY "view" /* an open page stores a hash of the view token, not the token */

static const char *bearer(const struct request *request)
{
    const char *header = request_header(request, "Authorization");

    return header && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

/* ---- hosts ---- */

/* Whether found is 1 (yes); 0: no; -1: memory or the store failed. Then nobody is let in, but the
 * caller must not be told that the token is wrong. */
static bool is_sure(struct request *request, int found)
{
    request->unsure |= found < 0;
    return found > 0;
}

static bool hash_token(struct request *request, const char *token, char hash[TOKEN_HASH_SIZE])
{
    const char *secret = request->settings->agent_token_hash_secret;

    return secret && is_sure(request, token_hash(secret, token, hash) < 0 ? -1 : 1);
}

/* Finds the host that has this token of its own. False: none. */
static bool token_owner(struct request *request, const char *token, char host[HOST_ID_SIZE])
{
    char hash[TOKEN_HASH_SIZE];

    return hash_token(request, token, hash) &&
           is_sure(request, store_token_owner(request->server->store, hash, host));
}

static bool is_shared(const struct request *request, const char *token)
{
    return request->settings->api_token && secret_equal(token, request->settings->api_token);
}

bool auth_agent_of(struct request *request, char host[HOST_ID_SIZE])
{
    const char *token = bearer(request);

    host[0] = '\0';
    return token && (is_shared(request, token) || token_owner(request, token, host));
}

/* True for the shared token or this host's own, as v1 accepts them. */
static bool is_agent(struct request *request)
{
    const struct dashboard_settings *settings = request->settings;
    const char *token = bearer(request);
    char own[TOKEN_HASH_SIZE] = "", given[TOKEN_HASH_SIZE];
    bool shared;
    int has_own;

    if (!token)
        return false;
    /* v1 also allows the shared token to a host that has a token of its own, unless a setting
     * forbids it. */
    shared = is_shared(request, token);
    if (shared && settings->allow_shared_agent_token)
        return true;
    has_own = store_host_token(request->server->store, request->host, own);
    if (shared)
        return is_sure(request, has_own < 0 ? -1 : !has_own);
    return is_sure(request, has_own) && hash_token(request, token, given) &&
           secret_equal(given, own);
}

/* ---- people ---- */

/* When the stored session of this token ends, in ms of the wall clock; 0: there is none; -1: the
 * store or memory failed. */
static int64_t session_end(struct server *server, const struct dashboard_settings *settings,
                           const char *token)
{
    char key[TOKEN_HASH_SIZE];

    if (!settings->password_hash)
        return 0;
    return session_key(settings->password_hash, settings->totp_secret, token, key) < 0
               ? -1
               : store_session_end(server->store, key, store_now_ms(server->store));
}

static bool find_session(struct request *request)
{
    const struct dashboard_settings *settings = request->settings;
    const char *cookie =
        MHD_lookup_connection_value(request->connection, MHD_COOKIE_KIND, "nixfleet_session");
    struct caller *caller = &request->caller;
    int64_t signed_until_s, stored_until;

    if (!cookie || !settings->session_secrets ||
        !is_sure(request, cookie_verify(settings->session_secrets, cookie,
                                        store_now_ms(request->server->store) / 1000, caller->token,
                                        &signed_until_s)))
        return false;
    stored_until = session_end(request->server, settings, caller->token);
    if (!is_sure(request, stored_until < 0 ? -1 : stored_until > 0))
        return false;
    caller->expires_ms =
        stored_until < signed_until_s * 1000 ? stored_until : signed_until_s * 1000;
    return true;
}

bool auth_person(struct request *request)
{
    if (request->caller.kind == CALLER_PERSON)
        return true;
    if (!request->server->dev && !find_session(request))
        return false;
    request->caller.kind = CALLER_PERSON;
    return true;
}

static bool is_viewer(struct request *request)
{
    const char *token = bearer(request), *expected = request->settings->view_token;

    if (!token || !expected || !secret_equal(token, expected) ||
        !is_sure(request, token_hash(VIEW_KEY, token, request->caller.token) < 0 ? -1 : 1))
        return false;
    request->caller.kind = CALLER_VIEW;
    return true;
}

bool auth_csrf(struct request *request, char out[TOKEN_HASH_SIZE])
{
    if (!auth_person(request))
        return false;
    if (!request->server->dev)
        return is_sure(
            request,
            csrf_make(request->settings->session_secrets, request->caller.token, out) < 0 ? -1 : 1);
    snprintf(out, TOKEN_HASH_SIZE, "%s", request->server->dev_csrf);
    return true;
}

bool auth_csrf_matches(struct request *request, const char *given)
{
    if (!auth_person(request))
        return false;
    return request->server->dev ? secret_equal(given, request->server->dev_csrf)
                                : is_sure(request, csrf_check(request->settings->session_secrets,
                                                              request->caller.token, given));
}

bool auth_still(struct server *server, const struct caller *caller)
{
    struct settings_holder *holder;
    const struct dashboard_settings *settings;
    char hash[TOKEN_HASH_SIZE];
    bool still;

    if (server->dev)
        return true;
    if (caller->expires_ms && store_now_ms(server->store) >= caller->expires_ms)
        return false;
    holder = settings_hold(&server->settings);
    settings = settings_of(holder);
    if (caller->kind == CALLER_VIEW)
        still = settings->view_token && token_hash(VIEW_KEY, settings->view_token, hash) == 0 &&
                secret_equal(caller->token, hash);
    else
        still = session_end(server, settings, caller->token) > 0;
    settings_release(holder);
    return still;
}

/* ---- roles ---- */

/* Why a token is refused, for a person who reads the log. NULL: the token is not known here. */
static const char *why_not_enough(struct request *request, const char *token, enum role role)
{
    char owner[HOST_ID_SIZE];

    if (is_viewer(request))
        return "this token may only read";
    if (is_shared(request, token))
        return role == ROLE_AGENT ? "this host has a token of its own, and "
                                    "NIXFLEET_ALLOW_SHARED_AGENT_TOKEN is false"
                                  : "this token may only write (NIXFLEET_VIEW_TOKEN reads)";
    if (token_owner(request, token, owner))
        return role == ROLE_AGENT ? "this token is another host's"
                                  : "this token may only write (NIXFLEET_VIEW_TOKEN reads)";
    return NULL;
}

bool auth_unsure(struct request *request)
{
    if (request->unsure)
        answer_later(request,
                     "the caller cannot be checked now: out of memory, or the store fails");
    return request->unsure;
}

void auth_refuse(struct request *request, unsigned status, const char *reason)
{
    if (!auth_unsure(request))
        answer_detail(request, status, "%s", reason);
}

static const char *missing_role(enum role role)
{
    return role == ROLE_AGENT ? "Invalid or missing token" : "Not authenticated";
}

static void refuse_token(struct request *request, const char *token, enum role role)
{
    const char *why = why_not_enough(request, token, role);

    if (!request->unsure)
        log_line(LOG_WARNING, "refused token from %s: %s%s%s", request->address,
                 why ? why : "it is unknown", *request->host ? ", for host " : "", request->host);
    auth_refuse(request, why ? 403 : 401, why ? why : missing_role(role));
}

static bool has_role(struct request *request, enum role role)
{
    switch (role) {
    case ROLE_AGENT:
        return is_agent(request);
    case ROLE_VIEW:
        return auth_person(request) || is_viewer(request);
    case ROLE_CHANGE:
        return auth_person(request);
    default:
        return true;
    }
}

bool auth_may_read(struct request *request)
{
    return has_role(request, ROLE_VIEW);
}

bool auth_allows(struct request *request, enum role role)
{
    const char *token = bearer(request);

    if (!has_role(request, role)) {
        if (token)
            refuse_token(request, token, role);
        else
            auth_refuse(request, 401, missing_role(role));
        return false;
    }
    if (role != ROLE_CHANGE || auth_csrf_matches(request, request_header(request, "X-CSRF-Token")))
        return true;
    auth_refuse(request, 403, "Invalid CSRF token");
    return false;
}
