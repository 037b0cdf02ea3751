/* One table says which variable fills which field, for the file and for the environment. */
#include "dashboard/server/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/envfile.h"
#include "common/io.h"
#include "common/setting_list.h"
#include "common/system.h"
#include "dashboard/store/store.h"

static const struct setting_row rows[] = {
#define ROW(id, ...) SETTING_ROW(struct dashboard_settings, __VA_ARGS__),
    DASHBOARD_SETTINGS(ROW)
#undef ROW
};
#define ROWS (sizeof rows / sizeof rows[0])

/* Variables of v1 that have no meaning here. */
static const char *const passed_over[] = {"NIXFLEET_UI_ACTION_LOCK_MAX_SECONDS",
                                          "NIXFLEET_GIT_HASH", "NIXFLEET_SERVER_HOST",
                                          "NIXFLEET_ALLOW_LEGACY_UNSIGNED_SESSION_COOKIE"};

struct load {
    struct dashboard_settings *settings;
    struct problems *problems;
    const char *file; /* the source of the values; NULL: the environment */
};

void problem_add(struct problems *problems, bool fatal, const char *format, ...)
{
    struct problem *problem;
    va_list arguments;

    if (problems->count == PROBLEMS_MAX && !fatal)
        return;
    problem =
        &problems->list[problems->count < PROBLEMS_MAX ? problems->count++ : PROBLEMS_MAX - 1];
    problem->fatal = fatal;
    problems->fatal += fatal;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

/* Returns 0, or -1 when out of memory. */
static int set(struct load *load, const struct setting_row *row, const char *value)
{
    char why[SETTING_WHY_SIZE];

    if (!*value)
        return 0;
    if (setting_check(row, value, why))
        return setting_set(row, load->settings, value);
    problem_add(load->problems, true, "%s%s%s: %.100s", row->variable, load->file ? " in " : "",
                load->file ? load->file : "", why);
    return 0;
}

/* Reports a misspelt variable, which would otherwise have no effect. Variables of the other program
 * may be in the same file. */
static void unknown_variable(struct load *load, const char *name)
{
    const char *like = setting_nearest(name);

    if (strncmp(name, "NIXFLEET_", 9) != 0 || setting_known(name))
        return;
    for (size_t i = 0; i < sizeof passed_over / sizeof *passed_over; i++)
        if (!strcmp(passed_over[i], name))
            return;
    problem_add(load->problems, false, "%.60s in %s is not a variable of the dashboard%s%s%s", name,
                load->file, like ? " (is " : "", like ? like : "", like ? " meant?)" : "");
}

static int from_file(void *context, const char *name, const char *value)
{
    for (size_t i = 0; i < ROWS; i++)
        if (!strcmp(rows[i].variable, name))
            return set(context, &rows[i], value);
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
    size_t size, wrong_line;
    char *text = read_file(load->file, ENVFILE_LIMIT, &size);
    int status;

    if (!text) {
        problem_add(load->problems, true, "%s: %s", load->file, strerror(errno));
        return 0;
    }
    check_mode(load);
    status = envfile_parse(text, size, from_file, load, &wrong_line);
    if (wrong_line > 0)
        problem_add(load->problems, false, "%s: line %zu is not NAME=value", load->file,
                    wrong_line);
    wipe(text, size);
    free_pointer(&text);
    return status;
}

static int read_environment(struct load *load)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *value = getenv(rows[i].variable);

        if (value && set(load, &rows[i], value) < 0)
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

/* No message contains the value, because a password may be in it. */
static void check_store(struct load *load)
{
    const char *store = load->settings->store;

    if (store && !store_is_url(store))
        problem_add(load->problems, true,
                    "NIXFLEET_STORE is not of the form postgresql://USER@HOST/DATABASE; for SQLite "
                    "in NIXFLEET_DATA_DIR, leave it out");
}

struct dashboard_settings *dashboard_settings_load(const char *file, struct problems *problems)
{
    struct dashboard_settings *settings = malloc(sizeof *settings);
    struct load load = {.settings = settings, .problems = problems, .file = file};

    if (!settings)
        return NULL;
    *settings = (struct dashboard_settings){0};
    for (size_t i = 0; i < ROWS; i++)
        /* setting the standard value needs no memory */
        (void)setting_set(&rows[i], settings, NULL);
    if (!file || read_settings_file(&load) == 0) {
        load.file = NULL;
        if (read_environment(&load) == 0 && parse_proxies(&load) == 0) {
            check_store(&load);
            return settings;
        }
    }
    dashboard_settings_free(settings);
    return NULL;
}

void dashboard_settings_free(struct dashboard_settings *settings)
{
    for (size_t i = 0; settings && i < ROWS; i++)
        setting_free(&rows[i], settings);
    if (settings)
        networks_free(&settings->proxies);
    free(settings);
}

/* ---- the settings in use ---- */

struct settings_holder {
    struct dashboard_settings *settings;
    atomic_size_t holds;
};

struct settings_holder *settings_hold(struct settings_in_use *in_use)
{
    struct settings_holder *holder;

    pthread_mutex_lock(&in_use->lock);
    holder = in_use->current;
    atomic_fetch_add(&holder->holds, 1);
    pthread_mutex_unlock(&in_use->lock);
    return holder;
}

void settings_release(struct settings_holder *holder)
{
    if (!holder || atomic_fetch_sub(&holder->holds, 1) > 1)
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
