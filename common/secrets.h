/* Secret values: which ones a run has, and how to know them again in output without keeping them.
   A run's record holds fingerprints, so that a delivery days later, from another environment,
   replaces the same texts. The values themselves are never written to disk.

   A fingerprint is of one form of a value (secret_forms.h): its length, 24 bits of a hash of its
   first and of its last SECRET_FORM_MIN bytes, to find candidates quickly, and half of a salted
   SHA-256, to be sure.

   Text form (run_info.secrets): "2:SALT:BLANKS,LENGTH:FIRST:LAST:DIGEST,…": SALT 32 hex digits;
   BLANKS 1 where a blank of a value may be several in output, else 0; LENGTH decimal bytes, FIRST
   and LAST 6 and DIGEST 32 hex digits. DIGEST is of SALT as text, then the form. "" is an empty
   set. */
#ifndef NIXFLEET_SECRETS_H
#define NIXFLEET_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "secret_forms.h"

#define SECRETS_MAX                                                              \
    16384 /* forms; some 5 of a plain value, and more of one with lines or signs \
           */
#define SECRETS_SALT_SIZE 33
#define SECRETS_DIGEST_SIZE 16
#define SECRETS_HASH_BITS 24

struct secret {
    uint32_t length, first, last;
    unsigned char digest[SECRETS_DIGEST_SIZE];
};

struct secrets {
    char salt[SECRETS_SALT_SIZE];
    uint64_t key; /* of the hashes: the first digits of the salt, odd */
    bool blanks;  /* a blank of a value may be several in output */
    bool full;    /* there was no room, or no memory, for all */
    struct secret *value;
    size_t count, room;
};

/* Starts an empty set with a random salt. */
void secrets_init(struct secrets *secrets);
void secrets_free(struct secrets *secrets);
/* Adds the forms of a value (NUL-terminated). False when it has none. */
bool secrets_add(struct secrets *secrets, const char *value);
/* The same for one that is a secret in any case. */
bool secrets_add_any(struct secrets *secrets, const char *value);

/* Called with each value that is a secret, by the name of its variable or its place. name: for a
 * person. */
typedef void secret_value_sink(void *context, const char *name, const char *value);
/* Tells sink the secret values of an environment ("NAME=value", NULL-terminated): those of the
   variables whose name matches one of the built-in patterns (nixfleet-run(1)) or of patterns
   (fnmatch(3), without regard to case; may be NULL), the access tokens of NIX_CONFIG, and the
   passwords in URLs; and those of a command's words NAME=value and --name=value. Both lists may be
   NULL. */
void secret_values(char *const environment[], char *const argv[], char *const patterns[],
                   secret_value_sink *sink, void *context);
/* Adds all these. Returns the names of those that cannot be told from other output, joined by ", ";
   caller frees; NULL when there are none. */
char *secrets_add_all(struct secrets *secrets, char *const environment[], char *const argv[],
                      char *const patterns[]);

/* The text form; caller frees; NULL when out of memory. */
char *secrets_format(const struct secrets *secrets);
/* Reads the text form. 0, or -1 with errno: EINVAL, EBADMSG for that of another version, ENOMEM.
 * Then the set is empty. */
int secrets_parse(struct secrets *secrets, const char *text);

/* The hash of SECRET_FORM_MIN bytes, in the low bytes of a word (the first byte lowest). */
static inline uint32_t secrets_hash(uint64_t key, uint64_t word)
{
    return (uint32_t)((word & UINT64_C(0xffffffffffff)) * key >> (64 - SECRETS_HASH_BITS));
}
uint32_t secrets_hash_at(uint64_t key, const char *bytes);
/* True if the secret->length bytes are this secret. */
bool secrets_is(const struct secrets *secrets, const struct secret *secret, const char *bytes);

#endif
