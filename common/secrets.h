/* Secret values: which ones a run has, and how to recognize them in output without storing them. A
   run's record holds fingerprints, so that a delivery days later, from another environment, redacts
   the same texts. The values themselves are never written to disk.

   A fingerprint belongs to one form of a value (secret_forms.h). It has the length of the form; 24
   bits of a hash of its first SECRET_FORM_MIN bytes and of its last ones, which find candidates
   quickly; and half of a salted SHA-256, which confirms them.

   Text form (run_info.secrets): "2:SALT:BLANKS,LENGTH:FIRST:LAST:DIGEST,…". SALT: 32 hex digits.
   BLANKS: 1 if a blank of the value may be several in output, else 0. LENGTH: bytes, decimal. FIRST
   and LAST: 6 hex digits each. DIGEST: 32 hex digits, of SALT as text and then the form. "" is an
   empty set. */
#ifndef NIXFLEET_SECRETS_H
#define NIXFLEET_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "secret_forms.h"

/* forms; a plain value has about 5, a value with several lines or signs more */
#define SECRETS_MAX 16384
#define SECRETS_SALT_SIZE 33
#define SECRETS_DIGEST_SIZE 16
#define SECRETS_HASH_BITS 24

struct secret {
    uint32_t length, first, last;
    unsigned char digest[SECRETS_DIGEST_SIZE];
};

struct secrets {
    char salt[SECRETS_SALT_SIZE];
    uint64_t key; /* of the hashes: the first digits of the salt, made odd */
    bool blanks;  /* each blank of a value may be several in output */
    bool full;    /* some forms are missing: there was no space or no memory for them */
    struct secret *value;
    size_t count, capacity;
};

/* Makes an empty set with a random salt. */
void secrets_init(struct secrets *secrets);
void secrets_free(struct secrets *secrets);
/* Adds the forms of a value (NUL-terminated). Returns false if it has none (secret_forms). */
bool secrets_add(struct secrets *secrets, const char *value);
/* Does the same for a value that is certainly a secret. */
bool secrets_add_any(struct secrets *secrets, const char *value);

/* Called with each secret value. name: its variable or its place, for a person. */
typedef void secret_value_sink(void *context, const char *name, const char *value);
/* Passes the secret values to sink. Of an environment ("NAME=value", NULL-terminated): the values
   of variables whose name matches a built-in pattern (nixfleet-run(1)) or one of patterns
   (fnmatch(3), ignoring case; may be NULL), the access tokens in NIX_CONFIG, and the passwords in
   URLs. Of a command: its words NAME=value and --name=value. environment and argv may be NULL. */
void secret_values(char *const environment[], char *const argv[], char *const patterns[],
                   secret_value_sink *sink, void *context);
/* Adds all these values to secrets. Returns the names of the values that have no form, joined by ",
   ", or NULL if there are none. The caller frees the result. */
char *secrets_add_all(struct secrets *secrets, char *const environment[], char *const argv[],
                      char *const patterns[]);

/* The text form of the set. The caller frees it. NULL when out of memory. */
char *secrets_format(const struct secrets *secrets);
/* Reads the text form. Returns 0, or -1 with errno and an empty set: EINVAL, EBADMSG for the form
 * of another version, ENOMEM. */
int secrets_parse(struct secrets *secrets, const char *text);

/* The hash of SECRET_FORM_MIN bytes, which are the low bytes of word (the first byte lowest). */
static inline uint32_t secrets_hash(uint64_t key, uint64_t word)
{
    return (uint32_t)((word & UINT64_C(0xffffffffffff)) * key >> (64 - SECRETS_HASH_BITS));
}
/* The same hash of the SECRET_FORM_MIN bytes at bytes. */
uint32_t secrets_hash_at(uint64_t key, const char *bytes);
/* Whether the secret->length bytes at bytes are this secret. */
bool secrets_is(const struct secrets *secrets, const struct secret *secret, const char *bytes);

#endif
