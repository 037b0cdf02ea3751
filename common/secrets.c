/* Fingerprints of secret values. */
#include "secrets.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#include <CommonCrypto/CommonDigest.h>
#define SHA2_CTX CC_SHA256_CTX
#define SHA256Init CC_SHA256_Init
#define SHA256Update(context, bytes, size) CC_SHA256_Update(context, bytes, (CC_LONG)(size))
#define SHA256Final CC_SHA256_Final
#else
#include <sha2.h>
#endif

#include "io.h"

static const char *const default_patterns[] = {"*_TOKEN",  "*_PASSWORD", "*_PASSWD",
                                               "*_SECRET", "*_KEY",      NULL};

#define ENTRY_SIZE (20 + 1 + 16 + 1 + 64 + 1) /* a secret's text form and its comma */

static void digest_of(const struct secrets *secrets, const char *bytes, size_t size,
                      unsigned char out[32])
{
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)secrets->salt, SECRETS_SALT_SIZE - 1);
    SHA256Update(&context, (const uint8_t *)bytes, size);
    SHA256Final(out, &context);
}

static void to_hex(const unsigned char *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void secrets_init(struct secrets *secrets)
{
    unsigned char salt[(SECRETS_SALT_SIZE - 1) / 2];

    memset(secrets, 0, sizeof *secrets);
    random_bytes(salt, sizeof salt);
    to_hex(salt, sizeof salt, secrets->salt);
}

uint64_t secrets_rolling(const char *bytes, size_t size)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < size; i++)
        hash = hash * SECRETS_BASE + (unsigned char)bytes[i];
    return hash;
}

bool secrets_is(const struct secrets *secrets, const struct secret *secret, const char *bytes)
{
    unsigned char digest[32];

    digest_of(secrets, bytes, secret->length, digest);
    return memcmp(digest, secret->digest, sizeof digest) == 0;
}

static void add_line(struct secrets *secrets, size_t most, const char *line, size_t length)
{
    struct secret secret = {.length = length};

    if (secret.length < SECRETS_LENGTH_MIN || secret.length > SECRETS_LENGTH_MAX ||
        secrets->count >= most)
        return;
    secret.rolling = secrets_rolling(line, length);
    digest_of(secrets, line, length, secret.digest);
    for (size_t i = 0; i < secrets->count; i++)
        if (memcmp(secrets->value[i].digest, secret.digest, sizeof secret.digest) == 0)
            return;
    secrets->value[secrets->count++] = secret;
}

const char *secrets_line(const char **rest, size_t *length)
{
    const char *line = *rest + strspn(*rest, "\r\n");

    *length = strcspn(line, "\r\n");
    *rest = line + *length;
    return *length > 0 ? line : NULL;
}

static void add_lines(struct secrets *secrets, size_t most, const char *value)
{
    const char *line;
    size_t length;

    while ((line = secrets_line(&value, &length)))
        add_line(secrets, most, line, length);
}

void secrets_add(struct secrets *secrets, const char *value)
{
    add_lines(secrets, SECRETS_ROOM, value);
}

static bool has_lines(const char *value)
{
    size_t length;

    (void)secrets_line(&value, &length);
    return secrets_line(&value, &length) != NULL;
}

static bool matches(const char *name, char *const patterns[])
{
    for (size_t i = 0; default_patterns[i]; i++)
        if (fnmatch(default_patterns[i], name, FNM_CASEFOLD) == 0)
            return true;
    for (size_t i = 0; patterns && patterns[i]; i++)
        if (fnmatch(patterns[i], name, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

/* Those of one line, or those of several. */
static void add_variables(struct secrets *secrets, char *const environment[],
                          char *const patterns[], bool of_lines)
{
    for (size_t i = 0; environment[i]; i++) {
        char name[256];
        const char *equals = strchr(environment[i], '=');
        size_t length = equals ? (size_t)(equals - environment[i]) : sizeof name;

        if (length >= sizeof name)
            continue;
        memcpy(name, environment[i], length);
        name[length] = '\0';
        if (matches(name, patterns) && has_lines(equals + 1) == of_lines)
            add_lines(secrets, SECRETS_MAX, equals + 1);
    }
}

void secrets_add_environment(struct secrets *secrets, char *const environment[],
                             char *const patterns[])
{
    add_variables(secrets, environment, patterns, false);
    add_variables(secrets, environment, patterns, true);
}

char *secrets_format(const struct secrets *secrets)
{
    size_t room = SECRETS_SALT_SIZE + secrets->count * ENTRY_SIZE + 1;
    char *text = malloc(room);
    size_t length;

    if (!text)
        return NULL;
    length = (size_t)snprintf(text, room, "%s", secrets->salt);
    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *s = &secrets->value[i];
        char digest[65];

        to_hex(s->digest, sizeof s->digest, digest);
        length += (size_t)snprintf(text + length, room - length, ",%zu:%016" PRIx64 ":%s",
                                   s->length, s->rolling, digest);
    }
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads "LENGTH:ROLLING:DIGEST"; returns what follows it, or NULL. */
static const char *parse_secret(const char *text, struct secret *secret)
{
    char *end;

    secret->length = strtoul(text, &end, 10);
    if (end == text || *end != ':' || secret->length < 1 || secret->length > SECRETS_LENGTH_MAX)
        return NULL;
    text = end + 1;
    secret->rolling = strtoull(text, &end, 16);
    if (end != text + 16 || *end != ':')
        return NULL;
    text = end + 1;
    for (size_t i = 0; i < sizeof secret->digest; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

        if (low < 0)
            return NULL;
        secret->digest[i] = (unsigned char)(high << 4 | low);
    }
    return text + 2 * sizeof secret->digest;
}

int secrets_parse(struct secrets *secrets, const char *text)
{
    secrets_init(secrets);
    if (*text == '\0')
        return 0;
    if (strspn(text, "0123456789abcdef") != SECRETS_SALT_SIZE - 1)
        goto bad;
    memcpy(secrets->salt, text, SECRETS_SALT_SIZE - 1);
    text += SECRETS_SALT_SIZE - 1;
    while (*text == ',' && secrets->count < SECRETS_MAX) {
        text = parse_secret(text + 1, &secrets->value[secrets->count]);
        if (!text)
            goto bad;
        secrets->count++;
    }
    if (*text == '\0')
        return 0;
bad:
    errno = EINVAL;
    return -1;
}
