/* Remembers the last right password, so that it is accepted at once. bcrypt takes about half a
   second on purpose, and one thread computes it: during a flood of wrong passwords, a person with
   the right one would wait. Only a keyed hash is stored, in memory, with a key of this process. */
#ifndef NIXFLEET_DASHBOARD_AUTH_KNOWN_H
#define NIXFLEET_DASHBOARD_AUTH_KNOWN_H

#include <stdbool.h>

struct known_password;

/* NULL when out of memory, or if the system gives no random bytes. */
struct known_password *known_password_new(void);
void known_password_free(struct known_password *known);
/* Remembers a password for which password_check returned true. Any thread may call. */
void known_password_learn(struct known_password *known, const char *password_hash,
                          const char *password);
/* True if it is the remembered password for this hash. False means "not known". known may be NULL.
 * Any thread may call. */
bool known_password_is(struct known_password *known, const char *password_hash,
                       const char *password);

#endif
