/* Functions for signing in: comparing, hashing, and making tokens and cookies from secrets. Pure
   functions of their arguments and, where the comment says so, of the system's random source.
   Nothing here logs. */
#ifndef NIXFLEET_DASHBOARD_AUTH_SECRET_H
#define NIXFLEET_DASHBOARD_AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_SIZE 44      /* 32 random bytes in URL-safe base64 without padding, and a NUL */
#define TOKEN_HASH_SIZE 65 /* HMAC-SHA256 in hex, and a NUL */
#define SESSION_COOKIE_SIZE 256
#define SESSION_SECONDS 86400 /* how long a person stays signed in */

/* Loads what OpenSSL otherwise loads at the first use: if memory were short then, OpenSSL would
   fail from then on, and every token would look wrong. To be called once at the start. False: the
   server cannot run. */
bool secrets_prepare(void);

/* Compares in a time that does not depend on the content of the strings, only on their lengths.
 * NULL is equal to nothing. */
bool secret_equal(const char *given, const char *expected);

/* Writes a new random token. Returns 0, or -1 if the system gives no random bytes. */
int token_make(char out[TOKEN_SIZE]);

/* HMAC-SHA256(secret, token) in lower-case hex: the form in which the token of a host is stored.
 * Returns 0 or -1. */
int token_hash(const char *secret, const char *token, char out[TOKEN_HASH_SIZE]);

/* Hashes a password with bcrypt and a new salt. The caller frees the hash. NULL with errno on
   failure: EINVAL for an empty password, or one longer than the 72 bytes that bcrypt uses. */
char *password_hash(const char *password);
/* Whether password_check can use a hash of this form: $2a$, $2b$ or $2y$. */
bool password_hash_valid(const char *hash);
/* Takes about half a second, as bcrypt intends: must not be called on an HTTP thread. */
bool password_check(const char *password, const char *hash);

/* Whether totp_check can use this secret: base32 (RFC 4648) of at least 10 bytes, upper or lower
   case, with or without spaces and padding. */
bool totp_secret_valid(const char *secret_base32);
/* A new secret of 20 bytes in base32, as RFC 4226 recommends. Returns 0 or -1. */
#define TOTP_SECRET_SIZE 33
int totp_secret_make(char out[TOTP_SECRET_SIZE]);
/* Checks a code of six digits, with or without spaces between them, against an RFC 6238 secret at
   now_s; one step of 30 s earlier or later is allowed. *step: the step that matched. A caller that
   refuses this and earlier steps from then on prevents replays. 1: right; 0: wrong; -1: out of
   memory, or the secret is not totp_secret_valid. */
int totp_check(const char *secret_base32, const char *code, int64_t now_s, int64_t *step);

/* Writes "v1.<payload>.<signature>". The payload is base64url of {"exp":…,"t":…,"v":1}; the
   signature is HMAC-SHA256 of the payload with the first of the comma-separated secrets. token:
   base64url only. Returns 0 or -1. */
int cookie_sign(const char *secrets, const char *token, int64_t expires_s,
                char out[SESSION_COOKIE_SIZE]);
/* Checks the signature with each of the secrets, then the time. Returns the token and the time at
   which the cookie expires. 1: valid; 0: not; -1: out of memory. */
int cookie_verify(const char *secrets, const char *cookie, int64_t now_s, char token[TOKEN_SIZE],
                  int64_t *expires_s);

/* The key under which a session is stored: HMAC-SHA256 of its token, keyed with what a person signs
   in with, not with the secrets that sign the cookie. So a changed password ends every session, and
   a rotated secret ends none. totp_secret may be NULL. Returns 0 or -1. */
int session_key(const char *password_hash, const char *totp_secret, const char *token,
                char out[TOKEN_HASH_SIZE]);

/* Whether there is at least one of the comma-separated secrets, and each has min to SECRET_MAX
 * bytes. */
#define SECRET_MAX 512
bool secrets_valid(const char *secrets, size_t min);

/* Derives the CSRF token of a session from the first of the secrets, so that nothing must be
   stored. Returns 0 or -1. */
int csrf_make(const char *secrets, const char *session, char out[TOKEN_HASH_SIZE]);
/* Whether given is the CSRF token of the session for any of the secrets: an open page keeps its
   token when secrets are rotated. given may be NULL. 1, 0, or -1 when out of memory. */
int csrf_check(const char *secrets, const char *session, const char *given);

#endif
