/* Which secrets must be set before the dashboard serves anyone. */
#ifndef NIXFLEET_DASHBOARD_AUTH_POLICY_H
#define NIXFLEET_DASHBOARD_AUTH_POLICY_H

#include <stdbool.h>

#include "dashboard/server/settings.h"

/* Why the dashboard must not start: a sentence without any secret, in constant text, or NULL when
   it may. address: the one it listens on ("127.0.0.1", "::1", "0.0.0.0"…); dev: --dev was given. */
const char *auth_refuse_start(const struct dashboard_settings *settings, const char *address,
                              bool dev);

#endif
