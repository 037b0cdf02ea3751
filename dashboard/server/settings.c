/* One table says which variable fills which field; the file and the environment both go through
   it. */
#include "dashboard/server/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

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

/* Variables of v1 that mean nothing here, and those of the other programs, which may share a file.
 */
static const char *const passed_over[] = {"NIXFLEET_UI_ACTION_LOCK_MAX_SECONDS",
                                          "NIXFLEET_GIT_HASH",
                                          "NIXFLEET_SERVER_HOST",
                                          "NIXFLEET_ALLOW_LEGACY_UNSIGNED_SESSION_COOKIE",
                                          "NIXFLEET_URL",
                                          "NIXFLEET_TOKEN",
                                          "NIXFLEET_TOKEN_FILE"};

struct load {
    struct dashboard_settings *settings;
    struct problems *problems;
    const char *file; /* where the values come from; NULL: the environment */
};

void problem_add(struct problems *problems, bool fatal, const char *format, ...)
{
    struct problem *problem;
    va_list arguments;

    if (problems->count == PROBLEMS_MAX)
        return;
    problem = &problems->list[problems->count++];
    problem->fatal = fatal;
    problems->fatal += fatal;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

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

/* Says which value is no good, without the value where it may be a secret. */
static void complain(struct load *load, const struct variable *variable, const char *value)
{
    problem_add(load->problems, true, "%s%s%s: '%.40s' is %s", variable->name,
                load->file ? " in " : "", load->file ? load->file : "", value,
                variable->kind == FLAG ? "neither true nor false"
                                       : "not a number from 1 to 100000000");
}

/* Returns 0, or -1 when out of memory. */
static int set(struct load *load, const struct variable *variable, const char *value)
{
    void *field = (char *)load->settings + variable->offset;
    int status;

    if (!*value)
        return 0;
    status = variable->kind == TEXT   ? set_text(field, value)
             : variable->kind == FLAG ? set_flag(field, value)
                                      : set_count(field, value);
    if (status == 0 || errno != EINVAL)
        return status;
    complain(load, variable, value);
    return 0;
}

/* How many letters two names differ by, for names that differ little; else many. */
static int difference(const char *a, const char *b)
{
    size_t same = 0, tail = 0, la = strlen(a), lb = strlen(b);

    while (a[same] && a[same] == b[same])
        same++;
    while (tail < la - same && tail < lb - same && a[la - 1 - tail] == b[lb - 1 - tail])
        tail++;
    return (int)((la > lb ? la : lb) - same - tail);
}

/* A misspelt variable would be passed over without a word. */
static void unknown_variable(struct load *load, const char *name)
{
    const char *like = NULL;
    int least = 4;

    if (strncmp(name, "NIXFLEET_", 9) != 0)
        return;
    for (size_t i = 0; i < sizeof passed_over / sizeof *passed_over; i++)
        if (!strcmp(passed_over[i], name))
            return;
    for (size_t i = 0; i < VARIABLES; i++)
        if (difference(variables[i].name, name) < least) {
            like = variables[i].name;
            least = difference(like, name);
        }
    problem_add(load->problems, false, "%.60s in %s is not a variable of the dashboard%s%s%s", name,
                load->file, like ? " (is " : "", like ? like : "", like ? " meant?)" : "");
}

static int from_file(void *context, const char *name, const char *value)
{
    for (size_t i = 0; i < VARIABLES; i++)
        if (!strcmp(variables[i].name, name))
            return set(context, &variables[i], value);
    unknown_variable(context, name);
    return 0;
}

static void check_mode(struct load *load)
{
    struct stat info;

    if (stat(load->file, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & 077)
        problem_add(load->problems, false,
                    "%s holds secrets and can be read by others: chmod 600 %s", load->file,
                    load->file);
}

static int read_settings_file(struct load *load)
{
    size_t size;
    char *text = read_file(load->file, ENVFILE_LIMIT, &size);
    int status;

    if (!text) {
        problem_add(load->problems, true, "%s: %s", load->file, strerror(errno));
        return 0;
    }
    check_mode(load);
    status = envfile_parse(text, size, from_file, load);
    wipe(text, size);
    free_pointer(&text);
    return status;
}

static int read_environment(struct load *load)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        const char *value = getenv(variables[i].name);

        if (value && set(load, &variables[i], value) < 0)
            return -1;
    }
    return 0;
}

static int parse_proxies(struct load *load)
{
    char bad[ADDRESS_SIZE];
    struct dashboard_settings *settings = load->settings;

    if (!settings->trusted_proxies)
        return 0;
    if (networks_parse(settings->trusted_proxies, &settings->proxies, bad) < 0) {
        if (!*bad)
            return -1;
        problem_add(load->problems, true,
                    "NIXFLEET_TRUSTED_PROXY_IPS: '%s' is neither an address nor a network such as "
                    "10.0.0.0/8",
                    bad);
    }
    if (!settings->trust_proxy_headers)
        problem_add(load->problems, false,
                    "NIXFLEET_TRUSTED_PROXY_IPS has no effect while "
                    "NIXFLEET_TRUST_PROXY_HEADERS is not true");
    return 0;
}

struct dashboard_settings *dashboard_settings_load(const char *file, struct problems *problems)
{
    struct dashboard_settings *settings = malloc(sizeof *settings);
    struct load load = {.settings = settings, .problems = problems, .file = file};

    if (!settings)
        return NULL;
    *settings = (struct dashboard_settings){.allow_shared_agent_token = true,
                                            .auto_provision = true,
                                            .history_days = 30,
                                            .keep_days = 180,
                                            .keep_runs = 500,
                                            .keep_mb = 20480,
                                            .run_mb = 256};
    if (!file || read_settings_file(&load) == 0) {
        load.file = NULL;
        if (read_environment(&load) == 0 && parse_proxies(&load) == 0)
            return settings;
    }
    dashboard_settings_free(settings);
    return NULL;
}

void dashboard_settings_free(struct dashboard_settings *settings)
{
    for (size_t i = 0; settings && i < VARIABLES; i++) {
        char **field = (char **)((char *)settings + variables[i].offset);

        if (variables[i].kind != TEXT || !*field)
            continue;
        wipe(*field, strlen(*field));
        free(*field);
    }
    if (settings)
        networks_free(&settings->proxies);
    free(settings);
}

/* ---- the settings in use ---- */

struct settings_holder {
    struct dashboard_settings *settings;
    int holds; /* atomic */
};

struct settings_holder *settings_hold(struct settings_in_use *in_use)
{
    struct settings_holder *holder;

    pthread_mutex_lock(&in_use->lock);
    holder = in_use->current;
    __atomic_add_fetch(&holder->holds, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&in_use->lock);
    return holder;
}

void settings_release(struct settings_holder *holder)
{
    if (!holder || __atomic_sub_fetch(&holder->holds, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    dashboard_settings_free(holder->settings);
    free(holder);
}

const struct dashboard_settings *settings_of(const struct settings_holder *holder)
{
    return holder->settings;
}

static void exchange(struct settings_in_use *in_use, struct settings_holder *fresh)
{
    struct settings_holder *old;

    pthread_mutex_lock(&in_use->lock);
    old = in_use->current;
    in_use->current = fresh;
    pthread_mutex_unlock(&in_use->lock);
    settings_release(old);
}

int settings_use(struct settings_in_use *in_use, struct dashboard_settings *settings)
{
    struct settings_holder *fresh = malloc(sizeof *fresh);

    if (!fresh)
        return -1;
    *fresh = (struct settings_holder){.settings = settings, .holds = 1};
    exchange(in_use, fresh);
    return 0;
}

void settings_forget(struct settings_in_use *in_use)
{
    exchange(in_use, NULL);
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
