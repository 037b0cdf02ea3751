/* Converts a struct config to variables, for a helper that loads them again. So options reach a
 * helper without argv. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

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

/* A token that is not in config belongs to another dashboard. */
static bool is_token(const char *entry)
{
    return strncmp(entry, "NIXFLEET_TOKEN=", sizeof "NIXFLEET_TOKEN=" - 1) == 0;
}

/* A libcurl that uses OpenSSL can still load GnuTLS (for RTMP). GnuTLS would take 1 MB and 3 ms in
   each helper for nothing; a libcurl that uses GnuTLS initialises it by itself. */
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
        bool secret = setting_rows[i].properties & SETTING_SECRET;
        /* the helper finds this setting where we found it */
        char *text = secret ? NULL : setting_text(&setting_rows[i], config);
        char *entry;

        if (text && *text && asprintf(&entry, "%s=%s", setting_rows[i].variable, text) >= 0)
            result[count++] = entry;
        free(text);
    }
    if ((result[count] = strdup(NO_GNUTLS)))
        count++;
    return result;
}
