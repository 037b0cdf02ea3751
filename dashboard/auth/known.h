/* Remembers the last right password, so that it is recognised at once. bcrypt takes a good part of
   a second on purpose, and one thread computes it: in a flood of wrong passwords a person with the
   right one would wait. Only a keyed hash is kept, in memory, under a key of this process. */
#ifndef NIXFLEET_DASHBOARD_AUTH_KNOWN_H
#define NIXFLEET_DASHBOARD_AUTH_KNOWN_H

#include <stdbool.h>

struct known_password;

/* NULL when out of memory or of random bytes. */
struct known_password *known_password_new(void);
void known_password_free(struct known_password *known);
/* password is right for password_hash: password_check returned true. Any thread may call. */
void known_password_learn(struct known_password *known, const char *password_hash,
                          const char *password);
/* True if it is the remembered password for this hash. False means "not known". known may be
 * NULL. */
bool known_password_is(struct known_password *known, const char *password_hash,
                       const char *password);

#endif
