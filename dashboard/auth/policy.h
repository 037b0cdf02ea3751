/* Which secrets must be set before the dashboard starts. */
#ifndef NIXFLEET_DASHBOARD_AUTH_POLICY_H
#define NIXFLEET_DASHBOARD_AUTH_POLICY_H

#include <stdbool.h>

#include "dashboard/server/settings.h"

/* Adds to problems everything that prevents a start with these settings. address: the one to listen
   on ("127.0.0.1", "::1", "0.0.0.0"…); dev: --dev was given. */
void auth_check_settings(const struct dashboard_settings *settings, const char *address, bool dev,
                         struct problems *problems);

#endif
