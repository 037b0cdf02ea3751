/* A struct config back to variables, for a helper that loads it again: options reach it this way,
 * without argv. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

static char *join(char **words)
{
    size_t size = 1;
    char *text;

    for (char **word = words; word && *word; word++)
        size += strlen(*word) + 1;
    text = calloc(1, size);
    for (char **word = words; text && word && *word; word++) {
        strcat(text, *word);
        if (word[1])
            strcat(text, ",");
    }
    return text;
}

static char *number(unsigned long long value)
{
    char *text;

    return asprintf(&text, "%llu", value) < 0 ? NULL : text;
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

/* Also where it is off: a file may have it on. */
static char *flag(bool on)
{
    return strdup(on ? "1" : "0");
}

/* The text of a setting as config has it ("" for none); NULL when out of memory. */
static char *text_of(const struct config *config, enum setting which)
{
    switch (which) {
    case SET_URL:
        return copy(config->url);
    case SET_HOST:
        return copy(config->host);
    case SET_NAME:
        return copy(config->name);
    case SET_LOG:
        return copy(config->log);
    case SET_HEARTBEAT:
        return number((unsigned long long)config->heartbeat_s);
    case SET_TOKEN_FILE:
        return copy(config->token_file);
    case SET_TOKEN_CACHE:
        return copy(config->token_cache);
    case SET_CA_FILE:
        return copy(config->ca_file);
    case SET_PINNED_PUBKEY:
        return copy(config->pinned_pubkey);
    case SET_ALLOW_INSECURE_HTTP:
        return flag(config->allow_insecure_http);
    case SET_FLUSH_TIMEOUT:
        return number((unsigned long long)config->flush_timeout_s);
    case SET_NIX_LOG:
        return flag(config->nix_log);
    case SET_NO_STREAM:
        return flag(config->no_stream);
    case SET_NOHUP:
        return flag(config->nohup);
    case SET_SCOPE:
        return flag(config->scope);
    case SET_REDACT:
        return join(config->redact);
    case SET_QUIET:
        return flag(config->quiet);
    case SET_VERBOSE:
        return flag(config->verbose);
    case SET_STATE_DIR:
        return copy(config->state_dir);
    case SET_KEEP_RUNS:
        return number(config->keep_runs);
    case SET_KEEP_DAYS:
        return number((unsigned long long)(config->keep_ms / (24 * 3600 * 1000)));
    case SET_KEEP_SIZE:
        return number(config->keep_bytes);
    case SET_TOKEN: /* a helper finds this one where we did */
    case SET_COUNT:
        break;
    }
    return NULL;
}

static bool is_ours(const char *entry)
{
    for (int i = 0; i < SET_COUNT; i++) {
        size_t length = strlen(setting_rows[i].variable);

        if (i != SET_TOKEN && strncmp(entry, setting_rows[i].variable, length) == 0 &&
            entry[length] == '=')
            return true;
    }
    return false;
}

/* One that is not in config belongs to another dashboard. */
static bool is_token(const char *entry)
{
    return strncmp(entry, "NIXFLEET_TOKEN=", sizeof "NIXFLEET_TOKEN=" - 1) == 0;
}

/* A libcurl that uses OpenSSL can still bring GnuTLS along (for RTMP). It would spend 1 MB and 3 ms
   of each helper on getting ready for nobody; a libcurl that does use it starts it by itself. */
#define NO_GNUTLS "GNUTLS_NO_IMPLICIT_INIT=1"

char **config_environment(const struct config *config, char *const environment[])
{
    size_t count = 0;
    char **result;

    while (environment[count])
        count++;
    result = calloc(count + SET_COUNT + 2, sizeof *result);
    if (!result)
        return NULL;
    count = 0;
    for (size_t i = 0; environment[i]; i++)
        if (!is_ours(environment[i]) && (config->token || !is_token(environment[i])) &&
            (result[count] = strdup(environment[i])))
            count++;
    for (int i = 0; i < SET_COUNT; i++) {
        char *text = i == SET_TOKEN ? NULL : text_of(config, (enum setting)i);
        char *entry;

        if (text && *text && asprintf(&entry, "%s=%s", setting_rows[i].variable, text) >= 0)
            result[count++] = entry;
        free(text);
    }
    if ((result[count] = strdup(NO_GNUTLS)))
        count++;
    return result;
}
