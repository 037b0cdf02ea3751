/* Which secrets a dashboard must have, and how long they must be. */
#include "dashboard/auth/policy.h"

#include <string.h>

#include "dashboard/auth/secret.h"

#define SECRET_MIN 16 /* characters: 64 bits in hex */

static void check_password(const struct dashboard_settings *settings, struct problems *problems)
{
    if (!settings->password_hash)
        problem_add(problems, true,
                    "NIXFLEET_PASSWORD_HASH is not set: `nixfleet-dashboard setup` makes a "
                    "configuration, `nixfleet-dashboard hash-password` a hash");
    else if (!password_hash_valid(settings->password_hash))
        problem_add(problems, true,
                    "NIXFLEET_PASSWORD_HASH is not a bcrypt hash: `nixfleet-dashboard "
                    "hash-password` makes one (in a file it needs single quotes, for its $)");
}

static void check_totp(const struct dashboard_settings *settings, struct problems *problems)
{
    if (settings->totp_secret && !totp_secret_valid(settings->totp_secret))
        problem_add(problems, true,
                    "NIXFLEET_TOTP_SECRET is not base32 of at least 16 characters (A to Z, 2 to "
                    "7): every sign-in would be refused");
    if (settings->require_totp && !settings->totp_secret)
        problem_add(problems, true,
                    "NIXFLEET_REQUIRE_TOTP is set, but NIXFLEET_TOTP_SECRET is not");
}

static void check_secrets(const struct dashboard_settings *settings, struct problems *problems)
{
    if (!settings->session_secrets)
        problem_add(problems, true,
                    "NIXFLEET_SESSION_SECRETS is not set: `openssl rand -hex 32` makes one");
    else if (!secrets_valid(settings->session_secrets, SECRET_MIN))
        problem_add(problems, true,
                    "NIXFLEET_SESSION_SECRETS: each secret of the list needs %d to %d characters",
                    SECRET_MIN, SECRET_MAX);
    if (!settings->agent_token_hash_secret)
        problem_add(
            problems, true,
            "NIXFLEET_AGENT_TOKEN_HASH_SECRET is not set: `openssl rand -hex 32` makes one");
    else if (strlen(settings->agent_token_hash_secret) > SECRET_MAX)
        problem_add(problems, true, "NIXFLEET_AGENT_TOKEN_HASH_SECRET is longer than %d characters",
                    SECRET_MAX);
    if (!settings->dev_cookies && !settings->api_token)
        problem_add(problems, true,
                    "NIXFLEET_API_TOKEN is not set: `openssl rand -hex 24` makes one");
}

void auth_check_settings(const struct dashboard_settings *settings, const char *address, bool dev,
                         struct problems *problems)
{
    if (dev) {
        if (!address_is_loopback(address))
            problem_add(problems, true, "--dev listens on loopback addresses only, not on %s",
                        address);
        return;
    }
    check_password(settings, problems);
    check_totp(settings, problems);
    check_secrets(settings, problems);
}
