/* One table says which variable fills which field; the file and the environment both go through
   it. */
#include "dashboard/server/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/envfile.h"
#include "common/io.h"
#include "common/system.h"

#define COUNT_MAX 100000000

enum kind { TEXT, FLAG, COUNT };

struct variable {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define FIELD(name, kind, field)                               \
    {                                                          \
        name, kind, offsetof(struct dashboard_settings, field) \
    }

static const struct variable variables[] = {
    FIELD("NIXFLEET_PASSWORD_HASH", TEXT, password_hash),
    FIELD("NIXFLEET_TOTP_SECRET", TEXT, totp_secret),
    FIELD("NIXFLEET_API_TOKEN", TEXT, api_token),
    FIELD("NIXFLEET_VIEW_TOKEN", TEXT, view_token),
    FIELD("NIXFLEET_SESSION_SECRETS", TEXT, session_secrets),
    FIELD("NIXFLEET_AGENT_TOKEN_HASH_SECRET", TEXT, agent_token_hash_secret),
    FIELD("NIXFLEET_DATA_DIR", TEXT, data_dir),
    FIELD("NIXFLEET_TRUSTED_PROXY_IPS", TEXT, trusted_proxies),
    FIELD("NIXFLEET_NIXCFG_VERSION_URL", TEXT, version_url),
    FIELD("NIXFLEET_REQUIRE_TOTP", FLAG, require_totp),
    FIELD("NIXFLEET_ALLOW_SHARED_AGENT_TOKEN", FLAG, allow_shared_agent_token),
    FIELD("NIXFLEET_AUTO_PROVISION_AGENT_TOKENS", FLAG, auto_provision),
    FIELD("NIXFLEET_DEV_MODE", FLAG, dev_cookies),
    FIELD("NIXFLEET_TRUST_PROXY_HEADERS", FLAG, trust_proxy_headers),
    FIELD("NIXFLEET_STATUS_HISTORY_DAYS", COUNT, history_days),
    FIELD("NIXFLEET_KEEP_DAYS", COUNT, keep_days),
    FIELD("NIXFLEET_KEEP_RUNS", COUNT, keep_runs),
    FIELD("NIXFLEET_KEEP_MB", COUNT, keep_mb),
    FIELD("NIXFLEET_RUN_MB", COUNT, run_mb),
};
#define VARIABLES (sizeof variables / sizeof variables[0])

struct load {
    struct dashboard_settings *settings;
    const char *bad; /* the variable whose value was no good */
};

static int set_text(char **field, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -1;
    if (*field)
        wipe(*field, strlen(*field));
    free(*field);
    *field = copy;
    return 0;
}

static int set_flag(bool *field, const char *value)
{
    static const char *const yes[] = {"1", "true", "yes", "on"};
    static const char *const no[] = {"0", "false", "no", "off"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!strcasecmp(value, yes[i]) || !strcasecmp(value, no[i])) {
            *field = !strcasecmp(value, yes[i]);
            return 0;
        }
    }
    errno = EINVAL;
    return -1;
}

static int set_count(int *field, const char *value)
{
    char *end;
    long count = strtol(value, &end, 10);

    if (end == value || *end || count < 1 || count > COUNT_MAX) {
        errno = EINVAL;
        return -1;
    }
    *field = (int)count;
    return 0;
}

static int set(struct load *load, const struct variable *variable, const char *value)
{
    void *field = (char *)load->settings + variable->offset;
    int status;

    if (!*value)
        return 0;
    status = variable->kind == TEXT   ? set_text(field, value)
             : variable->kind == FLAG ? set_flag(field, value)
                                      : set_count(field, value);
    if (status < 0 && errno == EINVAL)
        load->bad = variable->name;
    return status;
}

static int from_file(void *context, const char *name, const char *value)
{
    for (size_t i = 0; i < VARIABLES; i++)
        if (!strcmp(variables[i].name, name))
            return set(context, &variables[i], value);
    return 0;
}

static int read_settings_file(struct load *load, const char *path)
{
    size_t size;
    char *text = read_file(path, ENVFILE_LIMIT, &size);
    int status;

    if (!text)
        return -1;
    status = envfile_parse(text, size, from_file, load);
    wipe(text, size);
    free_pointer(&text);
    return status;
}

int dashboard_settings_load(struct dashboard_settings *settings, const char *file,
                            const char **variable)
{
    struct load load = {.settings = settings};
    int status;

    *settings = (struct dashboard_settings){.allow_shared_agent_token = true,
                                            .auto_provision = true,
                                            .history_days = 30,
                                            .keep_days = 180,
                                            .keep_runs = 500,
                                            .keep_mb = 20480,
                                            .run_mb = 256};
    status = file ? read_settings_file(&load, file) : 0;
    for (size_t i = 0; i < VARIABLES && status == 0; i++) {
        const char *value = getenv(variables[i].name);

        if (value)
            status = set(&load, &variables[i], value);
    }
    *variable = load.bad;
    return status;
}

void dashboard_settings_free(struct dashboard_settings *settings)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        char **field = (char **)((char *)settings + variables[i].offset);

        if (variables[i].kind != TEXT || !*field)
            continue;
        wipe(*field, strlen(*field));
        free(*field);
        *field = NULL;
    }
}

bool address_is_loopback(const char *address)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, address, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, address, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcmp(address, "localhost") == 0;
}
