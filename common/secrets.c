/* Fingerprints of secret values. */
#include "secrets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __APPLE__
#include <CommonCrypto/CommonDigest.h>
#define SHA2_CTX CC_SHA256_CTX
#define SHA256Init CC_SHA256_Init
#define SHA256Update(context, bytes, size) CC_SHA256_Update(context, bytes, (CC_LONG)(size))
#define SHA256Final CC_SHA256_Final
#else
#include <sha2.h>
#endif

#include "hex.h"
#include "io.h"

#define VERSION_PREFIX "2:"
#define ENTRY_SIZE (10 + 1 + 6 + 1 + 6 + 1 + 2 * SECRETS_DIGEST_SIZE + 1) /* and its comma */

static void digest_of(const struct secrets *secrets, const char *bytes, size_t size,
                      unsigned char out[SECRETS_DIGEST_SIZE])
{
    unsigned char whole[32];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)secrets->salt, SECRETS_SALT_SIZE - 1);
    SHA256Update(&context, (const uint8_t *)bytes, size);
    SHA256Final(whole, &context);
    memcpy(out, whole, SECRETS_DIGEST_SIZE);
}

static void set_salt(struct secrets *secrets, const char *salt)
{
    char digits[17];

    snprintf(secrets->salt, sizeof secrets->salt, "%.*s", SECRETS_SALT_SIZE - 1, salt);
    snprintf(digits, sizeof digits, "%.16s", salt);
    secrets->key = strtoull(digits, NULL, 16) | 1;
}

void secrets_init(struct secrets *secrets)
{
    unsigned char bytes[(SECRETS_SALT_SIZE - 1) / 2];
    char salt[SECRETS_SALT_SIZE];

    *secrets = (struct secrets){0};
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, salt);
    set_salt(secrets, salt);
}

void secrets_free(struct secrets *secrets)
{
    free(secrets->value);
    *secrets = (struct secrets){0};
}

uint32_t secrets_hash_at(uint64_t key, const char *bytes)
{
    uint64_t word = 0;

    for (int i = 0; i < SECRET_FORM_MIN; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return secrets_hash(key, word);
}

bool secrets_is(const struct secrets *secrets, const struct secret *secret, const char *bytes)
{
    unsigned char digest[SECRETS_DIGEST_SIZE];

    digest_of(secrets, bytes, secret->length, digest);
    return memcmp(digest, secret->digest, sizeof digest) == 0;
}

static bool reserve(struct secrets *secrets)
{
    size_t capacity = secrets->capacity ? secrets->capacity * 2 : 32;
    struct secret *grown;

    if (secrets->count < secrets->capacity)
        return true;
    grown = secrets->count < SECRETS_MAX ? realloc(secrets->value, capacity * sizeof *grown) : NULL;
    if (!grown)
        return false;
    secrets->value = grown;
    secrets->capacity = capacity;
    return true;
}

static void add_form(void *context, const char *text, size_t length, bool blanks)
{
    struct secrets *secrets = context;
    struct secret secret = {.length = (uint32_t)length,
                            .first = secrets_hash_at(secrets->key, text),
                            .last = secrets_hash_at(secrets->key, text + length - SECRET_FORM_MIN)};

    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *known = &secrets->value[i];

        if (known->first == secret.first && known->last == secret.last &&
            known->length == secret.length && secrets_is(secrets, known, text))
            return;
    }
    if (!reserve(secrets)) {
        secrets->full = true;
        return;
    }
    digest_of(secrets, text, length, secret.digest);
    secrets->value[secrets->count++] = secret;
    secrets->blanks |= blanks;
}

bool secrets_add(struct secrets *secrets, const char *value)
{
    return secret_forms(value, add_form, secrets);
}

bool secrets_add_any(struct secrets *secrets, const char *value)
{
    return secret_forms_of_any(value, add_form, secrets);
}

/* ---- the text form ---- */

char *secrets_format(const struct secrets *secrets)
{
    size_t capacity = sizeof VERSION_PREFIX + SECRETS_SALT_SIZE + 2 + secrets->count * ENTRY_SIZE;
    char *text = malloc(capacity);
    size_t length;

    if (!text)
        return NULL;
    length =
        (size_t)snprintf(text, capacity, VERSION_PREFIX "%s:%d", secrets->salt, secrets->blanks);
    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *s = &secrets->value[i];
        char digest[2 * SECRETS_DIGEST_SIZE + 1];

        hex_encode(s->digest, sizeof s->digest, digest);
        length += (size_t)snprintf(text + length, capacity - length,
                                   ",%" PRIu32 ":%06" PRIx32 ":%06" PRIx32 ":%s", s->length,
                                   s->first, s->last, digest);
    }
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads `digits` hex digits. Returns a pointer behind them, or NULL. */
static const char *parse_hex(const char *text, int digits, uint32_t *out)
{
    for (*out = 0; digits > 0; digits--, text++) {
        if (hex_digit(*text) < 0)
            return NULL;
        *out = *out << 4 | (uint32_t)hex_digit(*text);
    }
    return text;
}

/* Reads "LENGTH:FIRST:LAST:DIGEST". Returns a pointer behind it, or NULL. */
static const char *parse_secret(const char *text, struct secret *secret)
{
    char *end;
    unsigned long length = strtoul(text, &end, 10);

    if (end == text || length < SECRET_FORM_MIN || length > SECRET_FORM_MAX || *end != ':')
        return NULL;
    secret->length = (uint32_t)length;
    if (!(text = parse_hex(end + 1, 6, &secret->first)) || *text != ':' ||
        !(text = parse_hex(text + 1, 6, &secret->last)) || *text != ':')
        return NULL;
    text++;
    for (size_t i = 0; i < sizeof secret->digest; i++) {
        uint32_t byte;

        if (!(text = parse_hex(text, 2, &byte)))
            return NULL;
        secret->digest[i] = (unsigned char)byte;
    }
    return text;
}

static int parse_set(struct secrets *secrets, const char *text)
{
    size_t version = sizeof VERSION_PREFIX - 1;

    if (strncmp(text, VERSION_PREFIX, version) != 0)
        return EBADMSG;
    text += version;
    if (strspn(text, "0123456789abcdef") != SECRETS_SALT_SIZE - 1)
        return EINVAL;
    set_salt(secrets, text);
    text += SECRETS_SALT_SIZE - 1;
    if (text[0] != ':' || (text[1] != '0' && text[1] != '1'))
        return EINVAL;
    secrets->blanks = text[1] == '1';
    for (text += 2; *text == ',' && reserve(secrets); secrets->count++)
        if (!(text = parse_secret(text + 1, &secrets->value[secrets->count])))
            return EINVAL;
    return *text == '\0' ? 0 : *text == ',' ? ENOMEM : EINVAL;
}

int secrets_parse(struct secrets *secrets, const char *text)
{
    int problem;

    secrets_init(secrets);
    problem = *text ? parse_set(secrets, text) : 0;
    if (problem == 0)
        return 0;
    secrets_free(secrets);
    secrets_init(secrets);
    errno = problem;
    return -1;
}
