/* Any bytes as a settings file and as values of settings: no crash, and accepted values are within
 * their limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/envfile.h"
#include "../../common/secrets.h"
#include "../../config/config.h"
#include "../../config/settings.h"

#define ARGUMENTS_MAX 24

static int take_variable(void *context, const char *name, const char *value)
{
    const size_t *size = context;

    if (strlen(name) + strlen(value) > *size)
        abort(); /* longer than the file */
    for (int i = 0; i < SET_COUNT; i++)
        if (strcmp(name, setting_rows[i].variable) == 0)
            setenv(name, value, 1);
    return 0;
}

static void check(const struct config *config)
{
    if (config->mode == MODE_HELP || config->mode == MODE_VERSION)
        return;
    if (config->heartbeat_s < 5 || config->heartbeat_s > 60 || config->flush_timeout_s < 0)
        abort();
    if (config->url && strncasecmp(config->url, "http", 4) != 0)
        abort();
    if (config->name && strlen(config->name) >= 64)
        abort();
}

/* The first line is the command line, in words; the rest is the file. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *text = malloc(size + 1), *rest, *words[ARGUMENTS_MAX + 1], error[CONFIG_ERROR_SIZE];
    struct config config;
    struct secrets secrets;
    int count = 0;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    for (int i = 0; i < SET_COUNT; i++)
        unsetenv(setting_rows[i].variable);
    rest = memchr(text, '\n', size);
    if (rest) {
        size_t left = size - (size_t)(rest + 1 - text), wrong_line;

        envfile_parse(rest + 1, left, take_variable, &left, &wrong_line);
        *rest = '\0';
    }
    words[count++] = "nixfleet-run";
    rest = text;
    while (count < ARGUMENTS_MAX && rest)
        words[count++] = strsep(&rest, " ");
    words[count] = NULL;
    if (config_load(&config, count, words, error) == 0) {
        check(&config);
        config_free(&config);
    } else if (error[0] == '\0') {
        abort(); /* a refusal must have a reason */
    }
    if (secrets_parse(&secrets, text) == 0 && secrets.count > SECRETS_MAX)
        abort();
    (void)secrets_add(&secrets, text);
    secrets_free(&secrets);
    free(text);
    return 0;
}
