/* Comparing, hashing and signing with OpenSSL's HMAC, libxcrypt's bcrypt and liboath's TOTP. */
#include "dashboard/auth/secret.h"

#include <crypt.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <liboath/oath.h>

#include "common/hex.h"

#define BCRYPT_COST 12
#define BCRYPT_PASSWORD_MAX 72
#define TOTP_STEP_SECONDS 30
#define TOTP_DIGITS 6
#define TOTP_WINDOW 1
#define TOTP_SECRET_MIN 10 /* bytes: the usual minimum of authenticators */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

bool secrets_prepare(void)
{
    char token[TOKEN_SIZE], hash[TOKEN_HASH_SIZE];

    return token_make(token) == 0 && token_hash("secret", token, hash) == 0;
}

bool secret_equal(const char *given, const char *expected)
{
    size_t size = expected ? strlen(expected) : 0;

    return given && expected && strlen(given) == size && CRYPTO_memcmp(given, expected, size) == 0;
}

/* out must have BASE64_SIZE(size) bytes. */
static void base64url(const unsigned char *bytes, size_t size, char *out)
{
    int length = EVP_EncodeBlock((unsigned char *)out, bytes, (int)size);

    for (int i = 0; i < length; i++) {
        if (out[i] == '+')
            out[i] = '-';
        else if (out[i] == '/')
            out[i] = '_';
        else if (out[i] == '=')
            out[i] = '\0';
    }
}

int token_make(char out[TOKEN_SIZE])
{
    unsigned char bytes[32];
    char text[BASE64_SIZE(sizeof bytes)];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -1;
    base64url(bytes, sizeof bytes, text);
    memcpy(out, text, TOKEN_SIZE);
    out[TOKEN_SIZE - 1] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

static int hmac(const char *secret, size_t secret_size, const char *text,
                unsigned char out[SHA256_DIGEST_LENGTH])
{
    unsigned int size = 0;

    if (secret_size == 0 || secret_size > SECRET_MAX)
        return -1;
    return HMAC(EVP_sha256(), secret, (int)secret_size, (const unsigned char *)text, strlen(text),
                out, &size)
               ? 0
               : -1;
}

int token_hash(const char *secret, const char *token, char out[TOKEN_HASH_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (hmac(secret, strlen(secret), token, digest) < 0)
        return -1;
    hex_encode(digest, sizeof digest, out);
    return 0;
}

char *password_hash(const char *password)
{
    struct crypt_data data = {0};
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *hash;
    char *copy = NULL;

    if (!*password || strlen(password) > BCRYPT_PASSWORD_MAX) {
        errno = EINVAL;
        return NULL;
    }
    if (!crypt_gensalt_rn("$2b$", BCRYPT_COST, NULL, 0, salt, sizeof salt))
        return NULL;
    hash = crypt_r(password, salt, &data);
    if (hash && *hash != '*')
        copy = strdup(hash);
    OPENSSL_cleanse(&data, sizeof data);
    return copy;
}

bool password_hash_valid(const char *hash)
{
    return hash && strlen(hash) == 60 &&
           (!strncmp(hash, "$2a$", 4) || !strncmp(hash, "$2b$", 4) || !strncmp(hash, "$2y$", 4));
}

bool password_check(const char *password, const char *hash)
{
    struct crypt_data data = {0};
    const char *computed;
    bool equal;

    if (!password || !password_hash_valid(hash))
        return false;
    computed = crypt_r(password, hash, &data);
    equal = computed && *computed != '*' && secret_equal(computed, hash);
    OPENSSL_cleanse(&data, sizeof data);
    return equal;
}

/* liboath ignores spaces and case, but does not accept the padding that some tools print. The
 * caller frees *secret. */
static bool totp_decode(const char *base32, char **secret, size_t *size)
{
    size_t length = strlen(base32);

    while (length > 0 && strchr("= ", base32[length - 1]))
        length--;
    return oath_base32_decode(base32, length, secret, size) == OATH_OK;
}

bool totp_secret_valid(const char *secret_base32)
{
    char *secret = NULL;
    size_t size = 0;
    bool valid = totp_decode(secret_base32, &secret, &size) && size >= TOTP_SECRET_MIN;

    free(secret);
    return valid;
}

int totp_secret_make(char out[TOTP_SECRET_SIZE])
{
    unsigned char bytes[(TOTP_SECRET_SIZE - 1) / 8 * 5];
    char *text = NULL;
    int status = -1;

    if (RAND_bytes(bytes, sizeof bytes) == 1 &&
        oath_base32_encode((const char *)bytes, sizeof bytes, &text, NULL) == OATH_OK &&
        strlen(text) == TOTP_SECRET_SIZE - 1) {
        memcpy(out, text, TOTP_SECRET_SIZE);
        status = 0;
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    free(text);
    return status;
}

/* The digits of a code as a person types it. False: it is not a code. */
static bool totp_digits(const char *code, char out[TOTP_DIGITS + 1])
{
    size_t count = 0;

    for (; *code; code++) {
        if (*code == ' ')
            continue;
        if (*code < '0' || *code > '9' || count == TOTP_DIGITS)
            return false;
        out[count++] = *code;
    }
    out[count] = '\0';
    return count == TOTP_DIGITS;
}

int totp_check(const char *secret_base32, const char *code, int64_t now_s, int64_t *step)
{
    char *secret = NULL, expected[TOTP_DIGITS + 1], given[TOTP_DIGITS + 1];
    size_t size = 0;
    int found = 0;

    if (!totp_digits(code, given))
        return 0;
    if (!totp_decode(secret_base32, &secret, &size)) {
        free(secret);
        return -1;
    }
    for (int64_t at = -TOTP_WINDOW; at <= TOTP_WINDOW; at++) {
        int64_t candidate = now_s / TOTP_STEP_SECONDS + at;

        if (candidate < 0)
            continue;
        if (oath_hotp_generate(secret, size, (uint64_t)candidate, TOTP_DIGITS, false,
                               OATH_HOTP_DYNAMIC_TRUNCATION, expected) != OATH_OK)
            found = found ? found : -1;
        else if (secret_equal(given, expected)) {
            *step = candidate;
            found = 1;
        }
    }
    OPENSSL_cleanse(secret, size);
    free(secret);
    return found;
}

static bool token_form(const char *token, size_t size)
{
    return size > 0 && size < TOKEN_SIZE &&
           strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") >=
               size;
}

/* Signs with the size bytes of one secret. */
static int signature(const char *secret, size_t size, const char *payload,
                     char out[BASE64_SIZE(SHA256_DIGEST_LENGTH)])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (hmac(secret, size, payload, digest) < 0)
        return -1;
    base64url(digest, sizeof digest, out);
    return 0;
}

int cookie_sign(const char *secrets, const char *token, int64_t expires_s,
                char out[SESSION_COOKIE_SIZE])
{
    char json[112], payload[BASE64_SIZE(sizeof json)];
    char signed_by[BASE64_SIZE(SHA256_DIGEST_LENGTH)];

    if (!token_form(token, strlen(token)))
        return -1;
    snprintf(json, sizeof json, "{\"exp\":%" PRId64 ",\"t\":\"%s\",\"v\":1}", expires_s, token);
    base64url((const unsigned char *)json, strlen(json), payload);
    if (signature(secrets, strcspn(secrets, ","), payload, signed_by) < 0)
        return -1;
    return snprintf(out, SESSION_COOKIE_SIZE, "v1.%s.%s", payload, signed_by) < SESSION_COOKIE_SIZE
               ? 0
               : -1;
}

/* 1, 0, or -1 when out of memory. */
static int signed_by_any(const char *secrets, const char *payload, const char *given)
{
    char expected[BASE64_SIZE(SHA256_DIGEST_LENGTH)];
    int found = 0;

    for (const char *at = secrets;; at++) {
        size_t size = strcspn(at, ",");

        if (size > 0 && signature(at, size, payload, expected) < 0)
            found = found ? found : -1;
        else if (size > 0 && secret_equal(given, expected))
            found = 1;
        at += size;
        if (!*at)
            return found;
    }
}

/* Decodes base64url without padding to text. */
static bool decode(const char *payload, char *out, size_t out_size)
{
    char padded[SESSION_COOKIE_SIZE];
    unsigned char bytes[SESSION_COOKIE_SIZE];
    size_t size = strlen(payload), whole = (size + 3) / 4 * 4;
    int length;

    if (size == 0 || whole >= sizeof padded)
        return false;
    for (size_t i = 0; i < whole; i++)
        padded[i] = i >= size           ? '='
                    : payload[i] == '-' ? '+'
                    : payload[i] == '_' ? '/'
                                        : payload[i];
    length = EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)whole);
    if (length < 0 || (size_t)length >= out_size)
        return false;
    memcpy(out, bytes, (size_t)length);
    out[(size_t)length - (whole - size)] = '\0';
    return true;
}

int cookie_verify(const char *secrets, const char *cookie, int64_t now_s, char token[TOKEN_SIZE],
                  int64_t *expires_s)
{
    char copy[SESSION_COOKIE_SIZE], json[SESSION_COOKIE_SIZE], *dot;
    int end = 0, is_signed;

    if (!cookie || strlen(cookie) >= sizeof copy || strncmp(cookie, "v1.", 3) != 0)
        return 0;
    memcpy(copy, cookie + 3, strlen(cookie) - 2);
    dot = strchr(copy, '.');
    if (!dot)
        return 0;
    *dot = '\0';
    is_signed = signed_by_any(secrets, copy, dot + 1);
    if (is_signed <= 0)
        return is_signed;
    /* Only what we signed is parsed at all, so its form is our own. */
    if (!decode(copy, json, sizeof json) ||
        sscanf(json, "{\"exp\":%" SCNd64 ",\"t\":\"%43[A-Za-z0-9_-]\",\"v\":1}%n", expires_s, token,
               &end) != 2 ||
        end == 0 || json[end])
        return 0;
    return now_s < *expires_s;
}

int csrf_make(const char *secrets, const char *session, char out[TOKEN_HASH_SIZE])
{
    char text[TOKEN_SIZE + 8], first[SECRET_MAX + 1];
    size_t size = strcspn(secrets, ",");

    if (size > SECRET_MAX || strlen(session) >= TOKEN_SIZE)
        return -1;
    memcpy(first, secrets, size);
    first[size] = '\0';
    /* The prefix makes this differ from everything else that is signed with the secret. */
    snprintf(text, sizeof text, "csrf:%s", session);
    return token_hash(first, text, out);
}

int csrf_check(const char *secrets, const char *session, const char *given)
{
    char expected[TOKEN_HASH_SIZE];
    int found = 0;

    for (const char *at = secrets; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (csrf_make(at, session, expected) < 0)
            found = -1;
        else if (secret_equal(given, expected))
            return 1;
    return found;
}

int session_key(const char *password_hash, const char *totp_secret, const char *token,
                char out[TOKEN_HASH_SIZE])
{
    char key[TOKEN_HASH_SIZE];

    return token_hash(password_hash, totp_secret ? totp_secret : "", key) == 0
               ? token_hash(key, token, out)
               : -1;
}

bool secrets_valid(const char *secrets, size_t min)
{
    for (;;) {
        size_t size = strcspn(secrets, ",");

        if (size < min || size > SECRET_MAX)
            return false;
        if (!secrets[size])
            return true;
        secrets += size + 1;
    }
}
