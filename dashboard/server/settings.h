/* The dashboard's settings: v1's NIXFLEET_* variables and ours, from the environment or a file in
   EnvironmentFile form. The environment outranks the file; an empty value is as good as none. */
#ifndef NIXFLEET_DASHBOARD_SERVER_SETTINGS_H
#define NIXFLEET_DASHBOARD_SERVER_SETTINGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "dashboard/server/address.h"

/* What is wrong with a configuration, all of it at once. No line has a secret in it. */
#define PROBLEMS_MAX 40
struct problems {
    struct problem {
        bool fatal; /* else the dashboard starts, and says so */
        char text[256];
    } list[PROBLEMS_MAX];
    size_t count, fatal;
};

void problem_add(struct problems *problems, bool fatal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Strings are owned by the struct, NULL when not set. */
struct dashboard_settings {
    char *password_hash;           /* NIXFLEET_PASSWORD_HASH */
    char *totp_secret;             /* NIXFLEET_TOTP_SECRET, base32 */
    char *api_token;               /* NIXFLEET_API_TOKEN: shared by all hosts */
    char *view_token;              /* NIXFLEET_VIEW_TOKEN: reads everything */
    char *session_secrets;         /* NIXFLEET_SESSION_SECRETS: comma list, the first one signs */
    char *agent_token_hash_secret; /* NIXFLEET_AGENT_TOKEN_HASH_SECRET */
    char *data_dir;                /* NIXFLEET_DATA_DIR */
    char *trusted_proxies;         /* NIXFLEET_TRUSTED_PROXY_IPS: addresses and CIDR networks */
    struct networks proxies;       /* the same, parsed */
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

/* Makes settings from the file (NULL: none) and then the environment. Everything that is no good is
   added to problems: a file that cannot be read, a value of another form, a variable that is not
   known, a file that others can read. NULL only when out of memory. */
struct dashboard_settings *dashboard_settings_load(const char *file, struct problems *problems);
/* Forgets and overwrites the secrets. NULL is allowed. */
void dashboard_settings_free(struct dashboard_settings *settings);

/* The settings in use. A reload replaces all of them. A user of settings holds them meanwhile, so
   that they neither change nor are freed. */
struct settings_in_use {
    pthread_mutex_t lock;
    struct settings_holder *current;
};

/* Takes the settings over. Returns 0, or -1 when out of memory (then they are still the caller's).
 */
int settings_use(struct settings_in_use *in_use, struct dashboard_settings *settings);
/* Drops the server's own hold, at its end. */
void settings_forget(struct settings_in_use *in_use);
struct settings_holder *settings_hold(struct settings_in_use *in_use);
void settings_release(struct settings_holder *holder);
const struct dashboard_settings *settings_of(const struct settings_holder *holder);

/* True for 127.0.0.0/8, ::1 and "localhost". */
bool address_is_loopback(const char *address);

#endif
