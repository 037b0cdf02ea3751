/* Settings as texts, from the two files and the environment; a stronger source is put over a weaker
 * one. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/envfile.h"
#include "../common/io.h"
#include "config.h"

const struct setting_row setting_rows[SET_COUNT] = {
    [SET_URL] = {"NIXFLEET_URL", "url", 'u', false, false, false},
    [SET_HOST] = {"NIXFLEET_HOST", "host", 'H', false, false, false},
    [SET_NAME] = {"NIXFLEET_NAME", "name", 'n', false, false, false},
    [SET_LOG] = {"NIXFLEET_LOG", "log", 'l', false, false, false},
    [SET_HEARTBEAT] = {"NIXFLEET_HEARTBEAT", "heartbeat", 'i', false, false, false},
    [SET_TOKEN_FILE] = {"NIXFLEET_TOKEN_FILE", "token-file", 0, false, false, true},
    [SET_TOKEN_CACHE] = {"NIXFLEET_TOKEN_CACHE", NULL, 0, false, false, true},
    [SET_TOKEN] = {"NIXFLEET_TOKEN", NULL, 0, false, false, true},
    [SET_CA_FILE] = {"NIXFLEET_CA_FILE", "cacert", 0, false, false, true},
    [SET_PINNED_PUBKEY] = {"NIXFLEET_PINNED_PUBKEY", "pinned-pubkey", 0, false, false, true},
    [SET_ALLOW_INSECURE_HTTP] = {"NIXFLEET_ALLOW_INSECURE_HTTP", "allow-insecure-http", 0, true,
                                 false, false},
    [SET_FLUSH_TIMEOUT] = {"NIXFLEET_FLUSH_TIMEOUT", "flush-timeout", 0, false, false, false},
    [SET_NIX_LOG] = {"NIXFLEET_NIX_LOG", "nix-log", 0, true, false, false},
    [SET_NO_STREAM] = {"NIXFLEET_NO_STREAM", "no-stream", 0, true, false, false},
    [SET_NOHUP] = {"NIXFLEET_NOHUP", "nohup", 0, true, false, false},
    [SET_SCOPE] = {"NIXFLEET_SCOPE", "scope", 0, true, false, false},
    [SET_REDACT] = {"NIXFLEET_REDACT", "redact", 0, false, true, false},
    [SET_QUIET] = {"NIXFLEET_QUIET", "quiet", 'q', true, false, false},
    [SET_VERBOSE] = {"NIXFLEET_VERBOSE", "verbose", 'v', true, false, false},
    [SET_STATE_DIR] = {"NIXFLEET_STATE_DIR", NULL, 0, false, false, false},
    [SET_KEEP_RUNS] = {"NIXFLEET_KEEP_RUNS", NULL, 0, false, false, false},
    [SET_KEEP_DAYS] = {"NIXFLEET_KEEP_DAYS", NULL, 0, false, false, false},
    [SET_KEEP_SIZE] = {"NIXFLEET_KEEP_SIZE", NULL, 0, false, false, false},
};

int setting_put(struct setting_values *values, enum setting which, const char *text)
{
    char **slot = &values->text[which], *fresh;

    if (*text == '\0')
        return 0;
    if (setting_rows[which].list && *slot) {
        if (asprintf(&fresh, "%s,%s", *slot, text) < 0)
            return -1;
    } else if (!(fresh = strdup(text))) {
        return -1;
    }
    free(*slot);
    *slot = fresh;
    return 0;
}

/* Without the slashes at the end, which mean nothing. */
static size_t url_length(const char *url)
{
    size_t length = strlen(url);

    while (length > 0 && url[length - 1] == '/')
        length--;
    return length;
}

static bool same_url(const char *one, const char *other)
{
    size_t length = url_length(one);

    return length == url_length(other) && strncmp(one, other, length) == 0;
}

int settings_merge(struct setting_values *values, const struct setting_values *stronger)
{
    const char *here = values->text[SET_URL], *there = stronger->text[SET_URL];
    bool another = here && there && !same_url(here, there);

    for (int i = 0; i < SET_COUNT; i++) {
        if (another && setting_rows[i].credential) {
            free(values->text[i]);
            values->text[i] = NULL;
        }
        if (stronger->text[i] && setting_put(values, (enum setting)i, stronger->text[i]) < 0)
            return -1;
    }
    return 0;
}

static int put_variable(void *context, const char *name, const char *value)
{
    for (int i = 0; i < SET_COUNT; i++)
        if (strcmp(name, setting_rows[i].variable) == 0)
            return setting_put(context, (enum setting)i, value);
    return 0; /* other variables are for others: the file may be shared with a service */
}

/* A file that is not there is no error; one that cannot be read may be root's own, with a token in
 * it: no error either. */
static int from_file(struct setting_values *values, const char *path, char *error)
{
    size_t size;
    AUTO_FREE char *text = read_file(path, ENVFILE_LIMIT, &size);

    if (text)
        return envfile_parse(text, size, put_variable, values);
    if (errno == ENOENT || errno == EACCES || errno == ENOTDIR)
        return 0;
    snprintf(error, CONFIG_ERROR_SIZE, "%s: %s", path, strerror(errno));
    return -1;
}

static int from_user_file(struct setting_values *values, char *error)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    AUTO_FREE char *path = NULL;
    int length;

    if (base && *base)
        length = asprintf(&path, "%s/nixfleet/run.conf", base);
    else if (home && *home)
        length = asprintf(&path, "%s/.config/nixfleet/run.conf", home);
    else
        return 0;
    if (length < 0) {
        path = NULL;
        return -1;
    }
    return from_file(values, path, error);
}

static int from_environment(struct setting_values *values)
{
    for (int i = 0; i < SET_COUNT; i++) {
        const char *value = getenv(setting_rows[i].variable);

        if (value && setting_put(values, (enum setting)i, value) < 0)
            return -1;
    }
    return 0;
}

static int from_source(struct setting_values *values, enum setting_source source, char *error)
{
    if (source == SOURCE_SYSTEM)
        return from_file(values, "/etc/nixfleet/run.conf", error);
    return source == SOURCE_USER ? from_user_file(values, error) : from_environment(values);
}

int settings_from_sources(struct setting_values *values, int count, char *error)
{
    int result = 0;

    for (int i = 0; i < count && result == 0; i++) {
        struct setting_values one = {{0}};

        result = from_source(&one, (enum setting_source)i, error);
        if (result == 0)
            result = settings_merge(values, &one);
        settings_free(&one);
    }
    return result;
}

void settings_free(struct setting_values *values)
{
    for (int i = 0; i < SET_COUNT; i++)
        free(values->text[i]);
    memset(values, 0, sizeof *values);
}
