/* The settings of the dashboard: v1's NIXFLEET_* variables and ours, from the environment or a file
   in EnvironmentFile form. The environment overrides the file; an empty value means "not set". */
#ifndef NIXFLEET_DASHBOARD_SERVER_SETTINGS_H
#define NIXFLEET_DASHBOARD_SERVER_SETTINGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "dashboard/server/address.h"

/* Everything that is wrong with a configuration. No line contains a secret. */
#define PROBLEMS_MAX 40
struct problems {
    struct problem {
        bool fatal; /* if false, the dashboard starts, and reports it */
        char text[256];
    } list[PROBLEMS_MAX];
    size_t count, fatal;
};

/* Adds a sentence, formatted as by printf(3). fatal: the dashboard must not start. If there are
 * PROBLEMS_MAX already, a fatal problem replaces the last one, and another one is dropped. */
void problem_add(struct problems *problems, bool fatal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Strings are owned by the struct; NULL if not set. */
struct dashboard_settings {
    char *password_hash;           /* NIXFLEET_PASSWORD_HASH */
    char *totp_secret;             /* NIXFLEET_TOTP_SECRET, base32 */
    char *api_token;               /* NIXFLEET_API_TOKEN: shared by all hosts */
    char *view_token;              /* NIXFLEET_VIEW_TOKEN: reads everything */
    char *session_secrets;         /* NIXFLEET_SESSION_SECRETS: comma list, the first one signs */
    char *agent_token_hash_secret; /* NIXFLEET_AGENT_TOKEN_HASH_SECRET */
    char *data_dir;                /* NIXFLEET_DATA_DIR */
    char *store;                   /* NIXFLEET_STORE: a URL; NULL: SQLite in data_dir */
    char *trusted_proxies;         /* NIXFLEET_TRUSTED_PROXY_IPS: addresses and CIDR networks */
    struct networks proxies;       /* the same, parsed */
    char *version_url;             /* NIXFLEET_NIXCFG_VERSION_URL */
    bool require_totp;             /* NIXFLEET_REQUIRE_TOTP */
    bool allow_shared_agent_token; /* NIXFLEET_ALLOW_SHARED_AGENT_TOKEN, standard: true */
    bool auto_provision;           /* NIXFLEET_AUTO_PROVISION_AGENT_TOKENS, standard: true */
    bool dev_cookies;              /* NIXFLEET_DEV_MODE: cookies work over plain http */
    bool trust_proxy_headers;      /* NIXFLEET_TRUST_PROXY_HEADERS */
    int history_days;              /* NIXFLEET_STATUS_HISTORY_DAYS, standard: 30 */
    int keep_days;                 /* NIXFLEET_KEEP_DAYS: of runs, standard: 180 */
    int keep_runs;                 /* NIXFLEET_KEEP_RUNS: of each host, standard: 500 */
    int keep_mb;                   /* NIXFLEET_KEEP_MB: of log text of all runs, standard: 20480 */
    int run_mb;                    /* NIXFLEET_RUN_MB: of log text of one run, standard: 256 */
};

/* Reads settings from the file (NULL: none) and then the environment. Adds to problems everything
   that is wrong: a file that cannot be read, a value of another form, an unknown variable, a file
   that others can read. NULL only when out of memory. */
struct dashboard_settings *dashboard_settings_load(const char *file, struct problems *problems);
/* Frees the settings and overwrites the secrets. NULL is allowed. */
void dashboard_settings_free(struct dashboard_settings *settings);

/* The settings in use. A reload replaces all of them. A user of the settings holds them, so that
   they neither change nor are freed in the meantime. */
struct settings_in_use {
    pthread_mutex_t lock;
    struct settings_holder *current;
};

/* Takes the settings over and puts them in use. Returns 0, or -1 when out of memory (then they
 * still belong to the caller). */
int settings_use(struct settings_in_use *in_use, struct dashboard_settings *settings);
/* Drops the hold of the server itself, at its end. */
void settings_forget(struct settings_in_use *in_use);
/* Holds the settings that are in use now; settings_release ends the hold. Any thread may call. */
struct settings_holder *settings_hold(struct settings_in_use *in_use);
void settings_release(struct settings_holder *holder);
/* The settings of a holder; valid until settings_release. */
const struct dashboard_settings *settings_of(const struct settings_holder *holder);

/* True for 127.0.0.0/8, ::1 and "localhost". */
bool address_is_loopback(const char *address);

#endif
