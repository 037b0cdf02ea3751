/* Signing in and out, and the page's files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/server/assets.h"
#include "dashboard/auth/auth.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/server/server.h"
#include "dashboard/server/slow.h"

static void redirect(struct request *request, const char *where)
{
    request->answer.status = 302;
    snprintf(request->answer.location, sizeof request->answer.location, "%s", where);
}

/* A field of a form body, decoded; caller frees; NULL if absent. */
static char *form_field(const char *form, const char *name)
{
    size_t length = strlen(name);

    while (form && *form) {
        size_t part = strcspn(form, "&");

        if (part > length && strncmp(form, name, length) == 0 && form[length] == '=') {
            char *value = strndup(form + length + 1, part - length - 1);

            for (char *c = value; c && *c; c++)
                if (*c == '+')
                    *c = ' ';
            if (value)
                MHD_http_unescape(value);
            return value;
        }
        form += part + (form[part] == '&');
    }
    return NULL;
}

struct session {
    char hash[TOKEN_HASH_SIZE];
};

static enum job_result apply_session(struct txn *txn, struct request *request, void *context)
{
    const struct session *session = context;

    (void)request;
    return txn_session_add(txn, session->hash, (int64_t)SESSION_SECONDS * 1000) == 0 ? JOB_DONE
                                                                                     : JOB_FAILED;
}

static void set_cookie(struct request *request, const char *value, int seconds)
{
    snprintf(request->answer.cookie, sizeof request->answer.cookie,
             "nixfleet_session=%s; HttpOnly; Max-Age=%d; Path=/; %s", value, seconds,
             request->server->settings.dev_cookies ? "SameSite=lax" : "SameSite=strict; Secure");
}

/* A code counts once: whoever has read it over a shoulder cannot use it again. Only the thread for
 * what is slow comes here. */
static bool fresh_code(const struct dashboard_settings *settings, const char *code)
{
    static int64_t last_step;
    int64_t step = 0;

    if (!code || !totp_check(settings->totp_secret, code, wall_ms() / 1000, &step) ||
        step <= last_step)
        return false;
    last_step = step;
    return true;
}

/* Work for slow_submit. */
static bool sign_in(struct request *request)
{
    const struct dashboard_settings *settings = &request->server->settings;
    AUTO_FREE char *password = form_field(request->body, "password"),
                   *code = form_field(request->body, "totp");
    char token[TOKEN_SIZE], cookie[SESSION_COOKIE_SIZE];
    struct session *session;

    if (!password || !settings->password_hash ||
        !password_check(password, settings->password_hash)) {
        redirect(request, "/login?error=Invalid+password");
        return false;
    }
    if (settings->totp_secret && !fresh_code(settings, code)) {
        redirect(request, "/login?error=Invalid+TOTP+code");
        return false;
    }
    session = calloc(1, sizeof *session);
    if (!session || token_make(token) < 0 ||
        token_hash(settings->session_secrets, token, session->hash) < 0 ||
        cookie_sign(settings->session_secrets, token, wall_ms() / 1000 + SESSION_SECONDS, cookie) <
            0) {
        free(session);
        answer_detail(request, 503, "No session can be made");
        return false;
    }
    set_cookie(request, cookie, SESSION_SECONDS);
    redirect(request, "/");
    request_submit(request, apply_session, session, free);
    return true;
}

void post_login(struct request *request)
{
    if (request->server->dev)
        redirect(request, "/");
    else
        slow_submit(request->server->slow, request, sign_in);
}

static enum job_result apply_logout(struct txn *txn, struct request *request, void *context)
{
    const struct session *session = context;

    (void)request;
    return txn_session_drop(txn, session->hash) == 0 ? JOB_DONE : JOB_FAILED;
}

void post_logout(struct request *request)
{
    AUTO_FREE char *given = form_field(request->body, "csrf_token");
    char token[TOKEN_SIZE], expected[65];
    const char *header = request_header(request, "X-CSRF-Token");
    struct session *session;

    if (!auth_csrf(request, expected) || !secret_equal(given ? given : header, expected)) {
        answer_detail(request, 403, "Invalid CSRF token");
        return;
    }
    redirect(request, "/login");
    if (!auth_session(request, token) || !(session = calloc(1, sizeof *session)))
        return;
    set_cookie(request, "", 0);
    token_hash(request->server->settings.session_secrets, token, session->hash);
    request_submit(request, apply_logout, session, free);
}

/* ---- the page ---- */

static void serve(struct request *request, const struct asset *asset)
{
    const char *known = request_header(request, "If-None-Match");

    request->answer.etag = asset->etag;
    request->answer.type = asset->content_type;
    if (known && strcmp(known, asset->etag) == 0) {
        request->answer.status = 304;
        request->answer.response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
        return;
    }
    request->answer.status = 200;
    request->answer.response =
        MHD_create_response_from_buffer(asset->size, (void *)asset->bytes, MHD_RESPMEM_PERSISTENT);
}

bool get_asset(struct request *request)
{
    bool login = strcmp(request->path, "/login") == 0, page = strcmp(request->path, "/") == 0;
    const struct asset *asset = asset_find(login ? "/login.html" : request->path);
    char csrf[65];

    if (!asset)
        return false;
    if (page && !auth_csrf(request, csrf))
        redirect(request, "/login");
    else if (login && auth_csrf(request, csrf))
        redirect(request, "/");
    else
        serve(request, asset);
    return true;
}
