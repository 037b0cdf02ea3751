/* Who makes a call, and what the caller may do. */
#ifndef NIXFLEET_DASHBOARD_AUTH_AUTH_H
#define NIXFLEET_DASHBOARD_AUTH_AUTH_H

#include <stdbool.h>

#include "dashboard/auth/secret.h"
#include "dashboard/server/http.h"

enum role {
    ROLE_OPEN,   /* anyone */
    ROLE_AGENT,  /* the shared token, or this host's */
    ROLE_VIEW,   /* a person's session, or the view token */
    ROLE_CHANGE, /* a person's session, with its CSRF token */
};

/* If memory or the store fails, these functions return false and set request->unsure. auth_refuse
 * then answers 503, so that a client does not take its token for a wrong one. */

/* True if the caller has the role; then request->caller describes the caller. Otherwise answers
 * 401, 403 or 503, logs a refused token, and returns false. */
bool auth_allows(struct request *request, enum role role);
/* Answers 503 if request->unsure; else returns false. */
bool auth_unsure(struct request *request);
/* Answers with this status and reason, or with 503 if request->unsure. */
void auth_refuse(struct request *request, unsigned status, const char *reason);
/* Whether the caller may read everything: a person, or a holder of the view token. Answers
 * nothing. */
bool auth_may_read(struct request *request);
/* The CSRF token that a page of this caller must send with changes. False if the caller has no
 * session. */
bool auth_csrf(struct request *request, char out[TOKEN_HASH_SIZE]);
/* Whether given is a CSRF token of the caller's session. given may be NULL. */
bool auth_csrf_matches(struct request *request, const char *given);
/* Finds the caller's session and fills request->caller. False: there is none. */
bool auth_person(struct request *request);
/* For GET /api/session: the host whose own token the caller has; "" for the shared token. False:
 * the caller has no token of an agent. */
bool auth_agent_of(struct request *request, char host[HOST_ID_SIZE]);
/* Whether an earlier caller still has its role: its session has not ended, nobody signed out, and
 * the settings still accept it. Any thread may call. */
bool auth_still(struct server *server, const struct caller *caller);

#endif
