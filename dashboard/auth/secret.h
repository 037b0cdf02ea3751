/* What signing in rests on: comparing, hashing, and the tokens and cookies made from secrets.
   Pure functions of their arguments and, where said, of the system's random source. Nothing here
   logs. */
#ifndef NIXFLEET_DASHBOARD_AUTH_SECRET_H
#define NIXFLEET_DASHBOARD_AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_SIZE 44      /* 32 random bytes in URL-safe base64 without padding, and a NUL */
#define TOKEN_HASH_SIZE 65 /* HMAC-SHA256 in hex, and a NUL */
#define SESSION_COOKIE_SIZE 256
#define SESSION_SECONDS 86400 /* how long a person stays signed in */

/* Loads what OpenSSL otherwise loads at the first use. If memory is short then, OpenSSL fails from
   then on, and every token looks wrong. Call once at the start; false: the server cannot run. */
bool secrets_prepare(void);

/* Compares in a time that depends on neither string's content. A NULL equals nothing. */
bool secret_equal(const char *given, const char *expected);

/* Fills out with a new random token. Returns 0, or -1 when the system gives no random bytes. */
int token_make(char out[TOKEN_SIZE]);

/* HMAC-SHA256(secret, token) in lower-case hex: how a host's token is stored. Returns 0 or -1. */
int token_hash(const char *secret, const char *token, char out[TOKEN_HASH_SIZE]);

/* Hashes a password with bcrypt and a new salt. The caller frees. NULL with errno on failure,
   EINVAL for a password over the 72 bytes that bcrypt looks at, or an empty one. */
char *password_hash(const char *password);
/* True for the form of a hash that password_check can use: $2a$, $2b$ or $2y$. */
bool password_hash_valid(const char *hash);
/* Takes a good part of a second, as bcrypt is meant to: not for a thread that must not wait. */
bool password_check(const char *password, const char *hash);

/* Checks six digits against an RFC 6238 secret in base32 at now_s, one step of 30 s either way. On
   success *step is the step that matched: a caller that refuses steps <= the last one taken refuses
   replays. */
bool totp_check(const char *secret_base32, const char *code, int64_t now_s, int64_t *step);

/* Writes "v1.<payload>.<signature>": the payload is base64url of {"exp":…,"t":…,"v":1}, the
   signature HMAC-SHA256 of the payload with the first of the comma-separated secrets. token:
   base64url only. Returns 0 or -1. */
int cookie_sign(const char *secrets, const char *token, int64_t expires_s,
                char out[SESSION_COOKIE_SIZE]);
/* Verifies with any of the secrets, then the time; gives the token. */
bool cookie_verify(const char *secrets, const char *cookie, int64_t now_s, char token[TOKEN_SIZE]);

/* The CSRF token of a session: derived, so that nothing need be stored. Returns 0 or -1. */
int csrf_make(const char *secrets, const char *session, char out[TOKEN_HASH_SIZE]);

#endif
