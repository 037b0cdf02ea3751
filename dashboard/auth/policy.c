/* The secrets that a dashboard must have. */
#include "dashboard/auth/policy.h"

#include <string.h>

#include "dashboard/auth/secret.h"

const char *auth_refuse_start(const struct dashboard_settings *settings, const char *address,
                              bool dev)
{
    if (dev)
        return address_is_loopback(address) ? NULL : "--dev listens on loopback addresses only";
    if (!settings->password_hash && !address_is_loopback(address))
        return "NIXFLEET_PASSWORD_HASH is not set: without a password only loopback is allowed";
    if (!settings->password_hash)
        return "NIXFLEET_PASSWORD_HASH is not set (make one with hash-password)";
    if (!password_hash_valid(settings->password_hash))
        return "NIXFLEET_PASSWORD_HASH is no bcrypt hash (make one with hash-password)";
    if (settings->require_totp && !settings->totp_secret)
        return "NIXFLEET_REQUIRE_TOTP is set, but NIXFLEET_TOTP_SECRET is not";
    if (!settings->session_secrets || strspn(settings->session_secrets, ",") > 0)
        return "NIXFLEET_SESSION_SECRETS is not set";
    if (!settings->dev_cookies && !settings->api_token)
        return "NIXFLEET_API_TOKEN is not set";
    if (!settings->agent_token_hash_secret)
        return "NIXFLEET_AGENT_TOKEN_HASH_SECRET is not set";
    return NULL;
}
