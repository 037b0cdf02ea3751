/* GET /api/ws: the handshake (RFC 6455, section 4.2). socket.c handles the frames. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dashboard/auth/auth.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/server.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* 1; 0: the key is too long; -1: out of memory. */
static int accept_key(const char *key, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char text[128];
    int length = snprintf(text, sizeof text, "%s" GUID, key);

    if (length < 0 || (size_t)length >= sizeof text)
        return 0;
    if (EVP_Digest(text, (size_t)length, digest, &size, EVP_sha1(), NULL) != 1)
        return -1;
    EVP_EncodeBlock((unsigned char *)out, digest, (int)size);
    return 1;
}

/* A page of another site must not use the session of its visitor. */
static bool same_origin(const struct request *request)
{
    const char *origin = request_header(request, "Origin"), *host = request_header(request, "Host"),
               *at;

    if (!origin)
        return true; /* not a browser */
    at = strstr(origin, "://");
    return at && host && strcasecmp(at + 3, host) == 0;
}

static void upgraded(void *context, struct MHD_Connection *connection, void *state,
                     const char *extra, size_t extra_size, MHD_socket socket,
                     struct MHD_UpgradeResponseHandle *handle)
{
    struct server *server = context;
    struct request *request = state;
    char csrf[65] = "";

    (void)connection;
    auth_csrf(request, csrf); /* a caller with the view token has no session */
    if (request->unsure)
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
    else
        live_add(server->live, socket, &request->caller, csrf, handle, extra, extra_size);
}

void get_websocket(struct request *request)
{
    const char *key = request_header(request, "Sec-WebSocket-Key"),
               *upgrade = request_header(request, "Upgrade");
    const char *version = request_header(request, "Sec-WebSocket-Version");
    struct MHD_Response *response;
    char accepted[32];
    int made = key ? accept_key(key, accepted) : 0;

    if (made < 0) {
        answer_no_memory(request);
        return;
    }
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !key || !version ||
        strcmp(version, "13") != 0 || !made) {
        answer_detail(request, 400,
                      "This is a WebSocket (version 13), and the request asks for no upgrade. A "
                      "proxy must use HTTP/1.1 and pass the headers Upgrade and Connection on.");
        return;
    }
    if (!same_origin(request)) {
        answer_detail(request, 403,
                      "The page's origin, %.100s, is not this host, %.100s. A proxy must pass the "
                      "Host header on unchanged, with its port.",
                      request_header(request, "Origin"), request_header(request, "Host"));
        return;
    }
    response = MHD_create_response_for_upgrade(upgraded, request->server);
    if (!response) {
        answer_detail(request, 503, "Too many live channels are open");
        return;
    }
    if (MHD_add_response_header(response, "Upgrade", "websocket") != MHD_YES ||
        MHD_add_response_header(response, "Sec-WebSocket-Accept", accepted) != MHD_YES) {
        MHD_destroy_response(response);
        answer_no_memory(request);
        return;
    }
    request->answer.status = MHD_HTTP_SWITCHING_PROTOCOLS;
    request->answer.response = response;
}
