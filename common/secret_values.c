/* Finds the secret values in an environment and in the words of a command. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io.h"
#include "secrets.h"

#define NAME_SIZE 256
/* bytes; a user name in a URL that is at least this long is taken for a token */
#define URL_USER_MIN 20

static const char *const default_patterns[] = {
    "*TOKEN",        "*_TOKENS",       "*PASSWORD",    "*PASSWORDS", "*PASSWD",     "*PASSPHRASE",
    "*PASSPHRASES",  "*PASSCODE",      "*_PASS",       "PASS",       "SSHPASS",     "PGPASS",
    "*_PWD",         "*SECRET",        "*SECRETS",     "*_SECRET_*", "SECRET_*",    "*APIKEY",
    "*APIKEYS",      "*SECRETKEY",     "*PRIVATEKEY",  "*ACCESSKEY", "*SIGNINGKEY", "*_KEY",
    "*_KEYS",        "*CREDENTIAL",    "*CREDENTIALS", "PAT",        "*_PAT",       "*_AUTH",
    "*_AUTH_CONFIG", "*AUTHORIZATION", "JWT",          "*_JWT",      NULL};
/* Values that other output contains all the time. */
static const char *const plain_words[] = {"0",  "1",   "true", "false", "yes", "no",
                                          "on", "off", "none", "null",  NULL};

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

/* A number at the end does not count: "DB_PASSWORD_2" is one of several passwords. */
static bool matches_default(const char *name)
{
    AUTO_FREE char *word = strdup(name);
    size_t length = strlen(name);

    while (length > 0 && (isdigit((unsigned char)name[length - 1])))
        length--;
    while (length > 0 && length < strlen(name) && name[length - 1] == '_')
        length--;
    if (!word)
        return false;
    word[length] = '\0';
    for (size_t i = 0; default_patterns[i]; i++)
        if (fnmatch(default_patterns[i], word, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

static bool matches(const char *name, char *const patterns[])
{
    if (matches_default(name))
        return true;
    for (size_t i = 0; patterns && patterns[i]; i++)
        if (fnmatch(patterns[i], name, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

struct finding {
    char *const *patterns;
    secret_value_sink *sink;
    void *context;
};

static void pass_value(const struct finding *finding, const char *name, const char *value,
                       size_t length)
{
    AUTO_FREE char *copy = strndup(value, length);

    if (copy && *copy)
        finding->sink(finding->context, name, copy);
}

/* ---- values inside other values ---- */

static size_t undo_percents(const char *text, size_t length, char *out)
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        char digits[3] = {0};

        if (text[i] == '%' && i + 2 < length && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            memcpy(digits, text + i + 1, 2);
            out[size++] = (char)strtoul(digits, NULL, 16);
            i += 2;
        } else {
            out[size++] = text[i];
        }
    }
    return size;
}

static void pass_url_part(const struct finding *finding, const char *name, const char *text,
                          size_t length)
{
    AUTO_FREE char *plain = memchr(text, '%', length) ? malloc(length + 1) : NULL;

    pass_value(finding, name, text, length);
    if (plain)
        pass_value(finding, name, plain, undo_percents(text, length, plain));
}

/* Finds the password of each "scheme://user:password@host", and a user name that is a token. */
static void find_in_urls(const struct finding *finding, const char *name, const char *value)
{
    for (const char *at = value; (at = strstr(at, "://"));) {
        size_t length = strcspn(at += 3, "/?# \t\r\n\"'<>"), user;

        while (length > 0 && at[length - 1] != '@')
            length--;
        if (length == 0)
            continue;
        length--; /* without the '@' */
        user = strcspn(at, ":");
        if (user < length)
            pass_url_part(finding, name, at + user + 1, length - user - 1);
        else if (length >= URL_USER_MIN)
            pass_url_part(finding, name, at, length);
    }
}

/* Finds the TOKEN of each word HOST=TOKEN or HOST=TYPE:TOKEN behind `access-tokens =`
 * (nix.conf(5)). */
static void find_access_tokens(const struct finding *finding, const char *value)
{
    for (const char *line = value; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *end = line + strcspn(line, "\n"), *at = line + strspn(line, " \t");

        if (strncmp(at, "extra-", 6) == 0)
            at += 6;
        if (strncmp(at, "access-tokens", 13) != 0)
            continue;
        at += strcspn(at, "=\n");
        for (at += *at == '='; at < end; at += strcspn(at, " \t\n")) {
            size_t word, host, type;

            at += strspn(at, " \t");
            word = strcspn(at, " \t\n");
            host = strcspn(at, "=");
            if (host >= word) {
                if (word == 0)
                    break;
                continue;
            }
            type = host + 1 + strcspn(at + host + 1, ":");
            pass_value(finding, "access-tokens", at + host + 1, word - host - 1);
            if (type < word)
                pass_value(finding, "access-tokens", at + type + 1, word - type - 1);
        }
    }
}

/* ---- variables and words ---- */

static void find_in_entry(const struct finding *finding, const char *name, const char *value)
{
    find_in_urls(finding, name, value);
    if (strcmp(name, "NIX_CONFIG") == 0)
        find_access_tokens(finding, value);
    if (matches(name, finding->patterns) && !is_one_of(value, plain_words))
        finding->sink(finding->context, name, value);
}

/* Of a name that is too long only the end is kept, because the patterns match the end. */
static void copy_name(char name[NAME_SIZE], const char *text, size_t length)
{
    if (length >= NAME_SIZE) {
        text += length - (NAME_SIZE - 1);
        length = NAME_SIZE - 1;
    }
    memcpy(name, text, length);
    name[length] = '\0';
}

static void find_in_environment(const struct finding *finding, char *const environment[])
{
    for (; environment && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        char name[NAME_SIZE];

        if (!equals)
            continue;
        copy_name(name, *environment, (size_t)(equals - *environment));
        find_in_entry(finding, name, equals + 1);
    }
}

/* Finds "--api-key" and its value as two words. The option may have no value, so a next word that
 * looks like an option is not a value. */
static void find_in_option(const struct finding *finding, const char *option, const char *next)
{
    char name[NAME_SIZE];

    if (strncmp(option, "--", 2) != 0 || !next || *next == '-')
        return;
    copy_name(name, option + 2, strlen(option + 2));
    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    if (matches(name, finding->patterns) && !is_one_of(next, plain_words))
        finding->sink(finding->context, name, next);
}

/* Finds "Authorization: Bearer VALUE", the form that curl(1) takes. */
static void find_in_header(const struct finding *finding, const char *word)
{
    const char *value = strrchr(word, ' ');

    if (value && strncasecmp(word, "Authorization:", 14) == 0)
        pass_value(finding, "Authorization", value + 1, strlen(value + 1));
}

/* "--api-key=value" counts as API_KEY=value. */
static void find_in_words(const struct finding *finding, char *const argv[])
{
    for (; argv && *argv; argv++) {
        const char *word = *argv + strspn(*argv, "-");
        size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789_-.");
        char name[NAME_SIZE];

        if (length == 0 || word[length] != '=') {
            find_in_urls(finding, "a URL", *argv);
            find_in_option(finding, *argv, argv[1]);
            find_in_header(finding, *argv);
            continue;
        }
        copy_name(name, word, length);
        for (char *c = name; *c; c++)
            if (*c == '-')
                *c = '_';
        find_in_entry(finding, name, word + length + 1);
    }
}

void secret_values(char *const environment[], char *const argv[], char *const patterns[],
                   secret_value_sink *sink, void *context)
{
    struct finding finding = {patterns, sink, context};

    find_in_environment(&finding, environment);
    find_in_words(&finding, argv);
}

/* ---- a whole run ---- */

struct adding {
    struct secrets *secrets;
    FILE *unknown;
    size_t count;
};

static void add_value(void *context, const char *name, const char *value)
{
    struct adding *adding = context;
    bool was_full = adding->secrets->full;
    bool known = secrets_add(adding->secrets, value);

    if ((!known || (adding->secrets->full && !was_full)) && adding->unknown && *value)
        fprintf(adding->unknown, "%s%s", adding->count++ ? ", " : "", name);
}

char *secrets_add_all(struct secrets *secrets, char *const environment[], char *const argv[],
                      char *const patterns[])
{
    char *names = NULL;
    size_t size;
    struct adding adding = {.secrets = secrets, .unknown = open_memstream(&names, &size)};

    secret_values(environment, argv, patterns, add_value, &adding);
    if (adding.unknown)
        fclose(adding.unknown);
    if (adding.count > 0)
        return names;
    free(names);
    return NULL;
}
