/* Signing in and out, and the files of the page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "dashboard/api/api.h"
#include "dashboard/api/limit.h"
#include "dashboard/server/assets.h"
#include "dashboard/auth/auth.h"
#include "dashboard/auth/known.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/server/server.h"
#include "dashboard/server/task_queue.h"

static void redirect(struct request *request, const char *where)
{
    request->answer.status = 302;
    snprintf(request->answer.location, sizeof request->answer.location, "%s", where);
}

/* *out: the decoded value of a field of a form body, which the caller frees; NULL: absent. False:
 * out of memory. */
static bool form_field(const char *form, const char *name, char **out)
{
    size_t length = strlen(name);

    *out = NULL;

    while (form && *form) {
        size_t part = strcspn(form, "&");

        if (part > length && strncmp(form, name, length) == 0 && form[length] == '=') {
            char *value = *out = strndup(form + length + 1, part - length - 1);

            for (char *c = value; c && *c; c++)
                if (*c == '+')
                    *c = ' ';
            if (value)
                MHD_http_unescape(value);
            return value != NULL;
        }
        form += part + (form[part] == '&');
    }
    return true;
}

/* A session that is about to begin. */
struct session {
    char key[TOKEN_HASH_SIZE];
    char cookie[SESSION_COOKIE_SIZE];
    int64_t step; /* of the one-time code; 0: no code is needed */
};

static void set_cookie(struct request *request, const char *value, int seconds)
{
    snprintf(request->answer.cookie, sizeof request->answer.cookie,
             "nixfleet_session=%s; HttpOnly; Max-Age=%d; Path=/; SameSite=Lax%s", value, seconds,
             request->settings->dev_cookies ? "" : "; Secure");
}

static void refuse_sign_in(struct request *request, const char *reason, const char *where)
{
    log_line(LOG_WARNING, "refused sign-in from %s: %s", request->address, reason);
    redirect(request, where);
}

static void refuse_code(struct request *request, const char *reason)
{
    refuse_sign_in(request, reason, "/login?error=Invalid+TOTP+code");
}

static enum job_result apply_session(struct txn *txn, struct request *request, void *context)
{
    const struct session *session = context;
    /* A code is accepted once, even after a restart, so that a person who read it over a shoulder
     * cannot use it. */
    int fresh = session->step ? txn_totp_use(txn, session->step) : 1;

    if (fresh == 0) {
        refuse_code(request, "this one-time code was used before");
        return JOB_DONE;
    }
    if (fresh < 0 || txn_session_add(txn, session->key, (int64_t)SESSION_SECONDS * 1000) < 0)
        return JOB_FAILED;
    log_line(LOG_NOTICE, "signed in from %s", request->address);
    set_cookie(request, session->cookie, SESSION_SECONDS);
    redirect(request, "/");
    return JOB_DONE;
}

static struct session *session_new(const struct dashboard_settings *settings, int64_t now_ms)
{
    struct session *session = calloc(1, sizeof *session);
    char token[TOKEN_SIZE];

    if (session && token_make(token) == 0 &&
        session_key(settings->password_hash, settings->totp_secret, token, session->key) == 0 &&
        cookie_sign(settings->session_secrets, token, now_ms / 1000 + SESSION_SECONDS,
                    session->cookie) == 0)
        return session;
    free(session);
    return NULL;
}

/* The password is right. Returns true if a job was submitted. */
static bool begin_session(struct request *request)
{
    const struct dashboard_settings *settings = request->settings;
    AUTO_FREE char *code = NULL;
    int64_t step = 0, now_ms = store_now_ms(request->server->store);
    struct session *session;
    bool read = form_field(request->body, "totp", &code);
    int right = settings->totp_secret && read
                    ? totp_check(settings->totp_secret, code ? code : "", now_ms / 1000, &step)
                    : 1;

    if (!read || right < 0) {
        answer_no_memory(request);
        return false;
    }
    if (!right) {
        refuse_code(request, code && *code ? "wrong one-time code" : "no one-time code");
        return false;
    }
    if (!(session = session_new(settings, now_ms))) {
        answer_later(request, "No session can be made");
        return false;
    }
    session->step = step;
    request_submit(request, apply_session, session, free);
    return true;
}

/* Work for task_queue_submit. */
static bool check_and_sign_in(struct request *request)
{
    const char *hash = request->settings->password_hash;
    AUTO_FREE char *password = NULL;

    if (!form_field(request->body, "password", &password)) {
        answer_no_memory(request);
        return false;
    }
    if (!password || !hash || !password_check(password, hash)) {
        refuse_sign_in(request, "wrong password", "/login?error=Invalid+password");
        return false;
    }
    known_password_learn(request->server->known, hash, password);
    return begin_session(request);
}

/* Returns true if the request was passed on. */
static bool try_password(struct request *request)
{
    AUTO_FREE char *password = NULL;

    if (!form_field(request->body, "password", &password)) {
        answer_no_memory(request);
        return false;
    }
    if (password &&
        known_password_is(request->server->known, request->settings->password_hash, password))
        return begin_session(request);
    task_queue_submit(request->server->tasks, request, check_and_sign_in);
    return true;
}

void post_login(struct request *request)
{
    if (request->server->dev)
        redirect(request, "/");
    else if (store_is_shared(request->server->store))
        limit_on_all_servers(request, try_password);
    else
        try_password(request);
}

static enum job_result apply_logout(struct txn *txn, struct request *request, void *context)
{
    const struct session *session = context;

    if (txn_session_drop(txn, session->key) < 0)
        return JOB_FAILED;
    log_line(LOG_INFO, "signed out from %s", request->address);
    set_cookie(request, "", 0);
    redirect(request, "/login");
    return JOB_DONE;
}

static bool logged_out(struct request *request)
{
    live_recheck(request->server->live); /* the pages of this session get no more messages */
    return false;
}

void post_logout(struct request *request)
{
    AUTO_FREE char *given = NULL;
    const struct dashboard_settings *settings = request->settings;
    struct session *session;

    if (!form_field(request->body, "csrf_token", &given)) {
        answer_no_memory(request);
        return;
    }
    if (!auth_csrf_matches(request, given ? given : request_header(request, "X-CSRF-Token"))) {
        auth_refuse(request, 403, "Invalid CSRF token");
        return;
    }
    if (request->server->dev) {
        redirect(request, "/login");
        return;
    }
    session = calloc(1, sizeof *session);
    if (!session || session_key(settings->password_hash, settings->totp_secret,
                                request->caller.token, session->key) < 0) {
        free(session);
        answer_no_memory(request);
        return;
    }
    request->after = logged_out;
    request_submit(request, apply_logout, session, free);
}

/* ---- the session ---- */

/* False: the CSRF token could not be made. */
static bool add_person(struct request *request, struct text *out)
{
    char csrf[TOKEN_HASH_SIZE];

    if (!auth_csrf(request, csrf))
        return false;
    text_key_json(out, "role", "person");
    text_key_json(out, "csrf", csrf);
    text_key_time(out, "expires", request->caller.expires_ms);
    return true;
}

/* Also shows which client address and which server name arrive here, which helps to set up a
 * proxy. */
void get_session(struct request *request)
{
    char agent_of[HOST_ID_SIZE];
    struct text out = {0};
    bool known = true;

    text_puts(&out, "{");
    if (auth_person(request)) {
        known = add_person(request, &out);
    } else if (auth_agent_of(request, agent_of)) {
        text_key_json(&out, "role", "agent");
        text_key_json(&out, "agent_of", *agent_of ? agent_of : NULL);
    } else if ((known = auth_allows(request, ROLE_VIEW))) {
        text_key_json(&out, "role", "view");
    }
    if (auth_unsure(request) || !known) {
        text_free(&out);
        return;
    }
    text_key_json(&out, "address", request->address);
    text_key_json(&out, "host", request_header(request, "Host"));
    text_puts(&out, "}");
    answer_text(request, &out);
}

/* ---- the page ---- */

static void serve(struct request *request, const struct asset *asset)
{
    const char *known = request_header(request, "If-None-Match");
    bool same = known && strcmp(known, asset->etag) == 0;

    answer_response(request, same ? 304 : 200,
                    MHD_create_response_from_buffer(same ? 0 : asset->size, (void *)asset->bytes,
                                                    MHD_RESPMEM_PERSISTENT));
    if (!request->answer.response)
        return;
    request->answer.etag = asset->etag;
    request->answer.type = asset->content_type;
}

/* Some paths serve a file with another name. */
static const struct asset *find_asset(const char *path)
{
    if (strcmp(path, "/login") == 0)
        path = "/login.html";
    if (strcmp(path, "/favicon.ico") == 0)
        path = "/static/favicon.svg";
    return asset_find(path);
}

bool asset_known(const char *path)
{
    return find_asset(path) != NULL;
}

void get_asset(struct request *request)
{
    const char *path = request->path;

    if (strcmp(path, "/") == 0 && !auth_may_read(request)) {
        if (!auth_unsure(request))
            redirect(request, "login"); /* a relative path: if a proxy passes a prefix on, the page
                                           can still say what is wrong */
    } else if (strcmp(path, "/login") == 0 && auth_person(request))
        redirect(request, "/");
    else
        serve(request, find_asset(path));
}
