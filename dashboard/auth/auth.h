/* Who may call what. */
#ifndef NIXFLEET_DASHBOARD_AUTH_AUTH_H
#define NIXFLEET_DASHBOARD_AUTH_AUTH_H

#include <stdbool.h>

#include "dashboard/auth/secret.h"
#include "dashboard/server/http.h"

enum role {
    ROLE_OPEN,   /* anyone */
    ROLE_AGENT,  /* the shared token, or this host's */
    ROLE_VIEW,   /* a person's session, or the view token */
    ROLE_PERSON, /* a person's session */
    ROLE_CHANGE, /* the same, with its CSRF token */
};

/* True if the caller has the role; else answers 401 or 403 and returns false. */
bool auth_allows(struct request *request, enum role role);
/* The CSRF token that a page of this caller must send with changes; false if the caller has no
 * session. */
bool auth_csrf(struct request *request, char out[65]);
/* The token of the caller's session; false if there is none. */
bool auth_session(const struct request *request, char token[TOKEN_SIZE]);
/* Behind a proxy that is trusted: replaces the address by the one that it says. */
void auth_proxied_address(struct request *request);

#endif
