/* The password that was right last, known again in no time. bcrypt takes a good part of a second on
   purpose, and one thread computes it, so a flood of wrong passwords would keep the person waiting
   who has the right one. Only a keyed hash is kept, in memory, under a key of this process. */
#ifndef NIXFLEET_DASHBOARD_AUTH_KNOWN_H
#define NIXFLEET_DASHBOARD_AUTH_KNOWN_H

#include <stdbool.h>

struct known_password;

/* NULL when out of memory or of random bytes. */
struct known_password *known_password_new(void);
void known_password_free(struct known_password *known);
/* password opens password_hash: password_check has said so. Any thread may call. */
void known_password_learn(struct known_password *known, const char *password_hash,
                          const char *password);
/* True if it is the one that was learnt, for this hash. False says nothing. known may be NULL. */
bool known_password_is(struct known_password *known, const char *password_hash,
                       const char *password);

#endif
