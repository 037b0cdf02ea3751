/* The dashboard's settings: v1's NIXFLEET_* variables and ours, from the environment or a file in
   EnvironmentFile form. The environment outranks the file; an empty value is as good as none. */
#ifndef NIXFLEET_DASHBOARD_SERVER_SETTINGS_H
#define NIXFLEET_DASHBOARD_SERVER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* Strings are owned by the struct, NULL when not set. */
struct dashboard_settings {
    char *password_hash;           /* NIXFLEET_PASSWORD_HASH */
    char *totp_secret;             /* NIXFLEET_TOTP_SECRET, base32 */
    char *api_token;               /* NIXFLEET_API_TOKEN: shared by all hosts */
    char *view_token;              /* NIXFLEET_VIEW_TOKEN: reads everything */
    char *session_secrets;         /* NIXFLEET_SESSION_SECRETS: comma list, the first one signs */
    char *agent_token_hash_secret; /* NIXFLEET_AGENT_TOKEN_HASH_SECRET */
    char *data_dir;                /* NIXFLEET_DATA_DIR */
    char *trusted_proxies;         /* NIXFLEET_TRUSTED_PROXY_IPS, comma list */
    char *version_url;             /* NIXFLEET_NIXCFG_VERSION_URL */
    bool require_totp;             /* NIXFLEET_REQUIRE_TOTP */
    bool allow_shared_agent_token; /* NIXFLEET_ALLOW_SHARED_AGENT_TOKEN, true unless said */
    bool auto_provision;           /* NIXFLEET_AUTO_PROVISION_AGENT_TOKENS, true unless said */
    bool dev_cookies;              /* NIXFLEET_DEV_MODE: cookies work over plain http */
    bool trust_proxy_headers;      /* NIXFLEET_TRUST_PROXY_HEADERS */
    int history_days;              /* NIXFLEET_STATUS_HISTORY_DAYS, 30 unless said */
    int keep_days;                 /* NIXFLEET_KEEP_DAYS: runs, 180 unless said */
    int keep_runs;                 /* NIXFLEET_KEEP_RUNS: of each host, 500 unless said */
    int keep_mb;                   /* NIXFLEET_KEEP_MB: of log text in all, 20480 unless said */
    int run_mb;                    /* NIXFLEET_RUN_MB: of log text of one run, 256 unless said */
};

/* Fills settings from the file (NULL: none) and then the environment. Returns 0, or -1 with errno
   of the file or ENOMEM; errno EINVAL when a value is no number or no yes-or-no: *variable then
   names it. Free in both cases. */
int dashboard_settings_load(struct dashboard_settings *settings, const char *file,
                            const char **variable);
/* Forgets and overwrites the secrets. */
void dashboard_settings_free(struct dashboard_settings *settings);

/* True for 127.0.0.0/8, ::1 and "localhost". */
bool address_is_loopback(const char *address);

#endif
