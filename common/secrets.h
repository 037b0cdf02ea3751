/* Secret values of the environment: how to know them again in a log without keeping them. A run's
   record holds, for each, its length, a rolling hash to find candidates quickly, and a salted
   SHA-256 to be sure; so that a delivery days later, from another environment, replaces the same
   values. The values themselves are never written to disk.

   Text form (run_info.secrets): "SALT,LENGTH:ROLLING:DIGEST,…": SALT 32 hex digits, LENGTH decimal
   bytes, ROLLING 16 and DIGEST 64 hex digits. ROLLING is sum(byte[i] * B^(LENGTH-1-i)) mod 2^64
   with B = SECRETS_BASE; DIGEST is SHA-256(SALT as text, then value). */
#ifndef NIXFLEET_SECRETS_H
#define NIXFLEET_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRETS_MAX 256                /* of the environment; what comes after them is not known */
#define SECRETS_ROOM (SECRETS_MAX + 8) /* with what is added beside: tokens of files */
#define SECRETS_LENGTH_MIN 6 /* bytes; a shorter value ("yes", "1234") would blank half the log */
#define SECRETS_LENGTH_MAX 4096
#define SECRETS_SALT_SIZE 33
#define SECRETS_BASE UINT64_C(0x9e3779b97f4a7c15)

struct secret {
    size_t length;
    uint64_t rolling;
    unsigned char digest[32];
};

struct secrets {
    char salt[SECRETS_SALT_SIZE];
    struct secret value[SECRETS_ROOM];
    size_t count;
};

/* Starts an empty set with a random salt. */
void secrets_init(struct secrets *secrets);
/* Adds a value (NUL-terminated), or of one that has several lines (a private key) each of them: as
   lines they are printed. One of another length than SECRETS_LENGTH_MIN to _MAX, one that is known,
   or one too many is passed over. */
void secrets_add(struct secrets *secrets, const char *value);
/* The next line of a value, or all of one that is a single line: where it begins and its *length.
 *rest begins as the value and is moved on. NULL: there is none left. */
const char *secrets_line(const char **rest, size_t *length);
/* Adds the values of the variables in environment ("NAME=value", NULL-terminated) whose name
   matches one of the built-in patterns
   (*_TOKEN *_PASSWORD *_PASSWD *_SECRET *_KEY, and NIXFLEET_TOKEN) or of patterns (fnmatch(3),
   without regard to case; may be NULL). Values of one line come first: a bundle of keys must not
   take the room of a token. At most SECRETS_MAX are known then. */
void secrets_add_environment(struct secrets *secrets, char *const environment[],
                             char *const patterns[]);

/* The text form; caller frees; NULL when out of memory. */
char *secrets_format(const struct secrets *secrets);
/* Reads the text form ("" gives an empty set with a new salt). 0, or -1 with errno EINVAL. */
int secrets_parse(struct secrets *secrets, const char *text);

/* True if the secret->length bytes are this secret. Costs a SHA-256: ask only when the rolling hash
 * agrees. */
bool secrets_is(const struct secrets *secrets, const struct secret *secret, const char *bytes);
/* The rolling hash of size bytes; one step is rolling * SECRETS_BASE + byte. */
uint64_t secrets_rolling(const char *bytes, size_t size);

#endif
