/* One request at a time on curl's multi interface, with own deadlines: curl has no deadline for "as
   long as bytes move", and the caller must not wait for curl's name lookup. */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../common/io.h"
#include "../../common/system.h"

#define CONNECT_TIMEOUT_MS 10000L
/* long, because the thread of a lookup that was given up would still run */
#define LOOKUP_MAX_MS 120000
#define URL_MAX 2048
/* A proxy may ask for an hour, although the dashboard is usually back in a minute, and a run
   without news for an hour looks dead. */
#define RETRY_AFTER_MAX_S 60

struct client {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char *url; /* of the dashboard */
    bool busy, looked_up;
    int stall_ms;
    int64_t started_ms, moved_ms, total_ms;
    curl_off_t moved_bytes;
    size_t size; /* of the body in flight */
    size_t head_size;
    char body[CLIENT_ANSWER_MAX + 1];
    char curl_error[CURL_ERROR_SIZE];
    struct client_answer answer;
};

/* ---- allowed URLs ---- */

static bool loopback_name(const char *host)
{
    unsigned a, b, c, d;
    char rest;

    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return sscanf(host, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &rest) == 4 && a == 127 && b < 256 &&
           c < 256 && d < 256;
}

static bool url_part(CURLU *handle, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    bool ok = curl_url_get(handle, part, &text, 0) == CURLUE_OK && strlen(text) < size;

    if (ok)
        strcpy(out, text);
    curl_free(text);
    return ok;
}

bool client_url_allowed(const char *url, bool allow_insecure_http, const char **why)
{
    CURLU *handle = curl_url();
    char scheme[16], host[512];
    bool parsed = handle && strlen(url) < URL_MAX / 2 &&
                  curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK &&
                  url_part(handle, CURLUPART_SCHEME, scheme, sizeof scheme) &&
                  url_part(handle, CURLUPART_HOST, host, sizeof host);

    curl_url_cleanup(handle);
    *why = NULL;
    if (!parsed)
        *why = "the URL is not valid";
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        *why = "only http and https can be used";
    else if (strcmp(scheme, "http") == 0 && !allow_insecure_http && !loopback_name(host))
        *why = "plain http is allowed to this machine only (see --allow-insecure-http)";
    return !*why;
}

/* ---- receiving the answer ---- */

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct client *client = context;
    size_t n = size * count;

    if (n > CLIENT_ANSWER_MAX - client->answer.size)
        return 0; /* curl then ends the request */
    memcpy(client->body + client->answer.size, bytes, n);
    client->answer.size += n;
    return n;
}

static size_t take_head(char *bytes, size_t size, size_t count, void *context)
{
    struct client *client = context;

    (void)bytes;
    client->head_size += size * count;
    return client->head_size <= CLIENT_ANSWER_MAX ? size * count : 0;
}

static int watch_progress(void *context, curl_off_t to_load, curl_off_t loaded, curl_off_t to_send,
                          curl_off_t sent)
{
    struct client *client = context;

    (void)to_load, (void)loaded, (void)to_send;
    if (sent != client->moved_bytes) {
        client->moved_bytes = sent;
        client->moved_ms = monotonic_ms();
    }
    return 0;
}

/* ---- new and free ---- */

/* The certificate authorities: those of the configuration, else those that the environment names
 * for other programs, else the system's. */
static bool set_authorities(CURL *easy, const struct config *config)
{
    static const char *const variables[] = {"CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE"};
    const char *file = config->ca_file, *directory = getenv("SSL_CERT_DIR");

    for (size_t i = 0; !file && i < sizeof variables / sizeof *variables; i++)
        if ((file = getenv(variables[i])) && *file == '\0')
            file = NULL;
    if (file && curl_easy_setopt(easy, CURLOPT_CAINFO, file) != CURLE_OK)
        return false;
    return config->ca_file || !directory || *directory == '\0' ||
           curl_easy_setopt(easy, CURLOPT_CAPATH, directory) == CURLE_OK;
}

static bool set_options(struct client *client, const struct config *config, const char *user_agent)
{
    CURL *easy = client->easy;
    bool plain = strncasecmp(client->url, "http:", 5) == 0;
    bool ok =
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, LOOKUP_MAX_MS + CONNECT_TIMEOUT_MS) ==
            CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, client) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, client) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch_progress) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, client) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->curl_error) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent) == CURLE_OK;

#ifdef CURLOPT_QUICK_EXIT
    ok = ok && curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#elif LIBCURL_VERSION_NUM >= 0x075700
    ok = ok && curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) ==
                   CURLE_OK; /* an enum in curl, not a macro */
#endif
    if (plain) /* a proxy would see the token */
        ok = ok && curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK;
    if (!plain)
        ok = ok && set_authorities(easy, config);
    if (config->pinned_pubkey)
        ok = ok &&
             curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, config->pinned_pubkey) == CURLE_OK;
    return ok;
}

struct client *client_new(const struct config *config, const char *user_agent,
                          char error[CLIENT_ERROR_SIZE])
{
    const char *why = "out of memory";
    struct client *client = NULL;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
        client_url_allowed(config->url, config->allow_insecure_http, &why) &&
        (why = "out of memory", client = calloc(1, sizeof *client))) {
        client->url = strdup(config->url);
        client->multi = curl_multi_init();
        client->easy = curl_easy_init();
        if (client->url && client->multi && client->easy && set_options(client, config, user_agent))
            return client;
        why = "libcurl does not support these settings";
    }
    client_free(client);
    snprintf(error, CLIENT_ERROR_SIZE, "%s", why);
    return NULL;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    client_abort(client);
    if (client->easy)
        curl_easy_cleanup(client->easy);
    if (client->multi)
        curl_multi_cleanup(client->multi);
    curl_slist_free_all(client->headers);
    free(client->url);
    free(client);
}

/* ---- a request ---- */

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);

    if (grown)
        *list = grown;
    return grown;
}

static bool set_headers(struct client *client, const char *token)
{
    struct curl_slist *list = NULL;
    AUTO_FREE char *authorization = NULL;
    char time[48];
    bool ok = add_header(&list, "Content-Type: application/json") && add_header(&list, "Expect:");

    /* The dashboard corrects the times of this host by this header. */
    snprintf(time, sizeof time, "X-Nixfleet-Time: %lld", (long long)wall_ms());
    ok = ok && add_header(&list, time);

    if (ok && token)
        ok = asprintf(&authorization, "Authorization: Bearer %s", token) >= 0 &&
             add_header(&list, authorization);
    if (authorization)
        wipe(authorization, strlen(authorization));
    if (!ok || curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, list) != CURLE_OK) {
        curl_slist_free_all(list);
        return false;
    }
    curl_slist_free_all(client->headers);
    client->headers = list;
    return true;
}

static curl_off_t uploaded(const struct client *client)
{
    curl_off_t sent = 0;

    return curl_easy_getinfo(client->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK ? sent : 0;
}

/* Calls curl again and again while the network takes bytes without waiting, because curl sends only
 * one buffer in each call. */
static bool push(struct client *client)
{
    curl_off_t sent;
    int running;

    do {
        sent = uploaded(client);
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            return false;
    } while (uploaded(client) > sent);
    return true;
}

bool client_post(struct client *client, const struct client_request *request)
{
    char url[URL_MAX];
    int length = snprintf(url, sizeof url, "%s%s", client->url, request->path);

    if (client->busy || length < 0 || (size_t)length >= sizeof url)
        return false;
    client->answer = (struct client_answer){.retry_after_ms = -1};
    client->curl_error[0] = '\0';
    client->head_size = 0;
    client->looked_up = false;
    client->started_ms = client->moved_ms = monotonic_ms();
    client->moved_bytes = 0;
    client->size = request->size;
    client->stall_ms = request->stall_ms;
    client->total_ms = request->total_ms;
    if (!set_headers(client, request->token) ||
        curl_easy_setopt(client->easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->size) !=
            CURLE_OK ||
        curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, request->body) != CURLE_OK ||
        curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
        return false;
    client->busy = true;
    (void)push(client); /* client_wait handles the result */
    return true;
}

bool client_busy(const struct client *client)
{
    return client->busy;
}

bool client_sending(const struct client *client)
{
    return client->busy && (size_t)uploaded(client) < client->size;
}

void client_hurry(struct client *client, int stall_ms)
{
    if (stall_ms < client->stall_ms)
        client->stall_ms = stall_ms;
}

void client_abort(struct client *client)
{
    if (client->busy)
        curl_multi_remove_handle(client->multi, client->easy);
    client->busy = false;
}

/* The text of curl, with the reason of a failed system call: curl itself only says "Couldn't
 * connect". */
static void explain(struct client *client, CURLcode code)
{
    const char *text = client->curl_error[0] ? client->curl_error : curl_easy_strerror(code);
    struct client_answer *answer = &client->answer;
    long number = 0;

    if (code == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number > 0)
        snprintf(answer->error, sizeof answer->error, "%.80s: %.160s", strerror((int)number), text);
    else
        snprintf(answer->error, sizeof answer->error, "%s", text);
}

static const struct client_answer *finish(struct client *client, CURLcode code, const char *why)
{
    struct client_answer *answer = &client->answer;
    curl_off_t retry_s = 0;
    long status = 0;

    if (code == CURLE_OK && !why) {
        curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
        if (curl_easy_getinfo(client->easy, CURLINFO_RETRY_AFTER, &retry_s) == CURLE_OK &&
            retry_s > 0)
            answer->retry_after_ms =
                retry_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S * 1000 : retry_s * 1000;
    } else {
        if (why)
            snprintf(answer->error, sizeof answer->error, "%s", why);
        else
            explain(client, code);
        answer->untrusted = code == CURLE_PEER_FAILED_VERIFICATION ||
                            code == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
                            code == CURLE_SSL_CACERT_BADFILE;
    }
    answer->status = (int)status;
    client->body[answer->size] = '\0';
    answer->body = client->body;
    client_abort(client);
    return answer;
}

/* Why the request in flight must be given up now; NULL: it need not. */
static const char *overdue(struct client *client)
{
    int64_t now = monotonic_ms();
    curl_off_t looked_up_us = 0;

    curl_easy_getinfo(client->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us);
    if (looked_up_us == 0)
        return now - client->started_ms > LOOKUP_MAX_MS ? "the name server does not answer" : NULL;
    if (!client->looked_up) /* the time for the dashboard starts here */
        client->looked_up = true, client->started_ms = client->moved_ms = now;
    if (now - client->moved_ms > client->stall_ms || now - client->started_ms > client->total_ms)
        return "no answer in time";
    return NULL;
}

static const struct client_answer *completed(struct client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            return finish(client, message->data.result, NULL);
    return NULL;
}

static const struct client_answer *step(struct client *client)
{
    const struct client_answer *answer;
    const char *why;

    if (!push(client))
        return finish(client, CURLE_OUT_OF_MEMORY, NULL);
    if ((answer = completed(client)))
        return answer;
    why = overdue(client);
    return why ? finish(client, CURLE_OPERATION_TIMEDOUT, why) : NULL;
}

/* The time until `overdue` can become true, which limits each wait. */
static int until_overdue(const struct client *client)
{
    int64_t now = monotonic_ms();
    int64_t stall = client->moved_ms + client->stall_ms - now;
    int64_t total = client->started_ms + client->total_ms - now;
    int64_t least = stall < total ? stall : total;

    return least < 0 ? 50 : least > 60000 ? 60000 : (int)least + 1;
}

const struct client_answer *client_wait(struct client *client, int fd, int timeout_ms,
                                        bool *readable)
{
    struct curl_waitfd extra = {.fd = fd, .events = CURL_WAIT_POLLIN};
    const struct client_answer *answer = NULL;

    if (readable)
        *readable = false;
    if (client->busy) {
        int until = until_overdue(client);

        if ((answer = step(client)))
            return answer;
        if (timeout_ms < 0 || timeout_ms > until)
            timeout_ms = until;
    }
    if (client->busy) {
        /* If the wait fails, the request fails, too. */
        (void)curl_multi_poll(client->multi, fd >= 0 ? &extra : NULL, fd >= 0, timeout_ms, NULL);
        if (readable)
            *readable = extra.revents != 0;
        return step(client);
    }
    {
        struct pollfd only = {.fd = fd, .events = POLLIN};
        int ready = poll(&only, 1, timeout_ms);

        if (readable)
            *readable = ready > 0;
    }
    return NULL;
}
