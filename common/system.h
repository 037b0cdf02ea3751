/* What every system has, under a name of its own. */
#ifndef NIXFLEET_SYSTEM_H
#define NIXFLEET_SYSTEM_H

#include <stddef.h>

/* The name of a signal without SIG, "KILL"; NULL for a number that has none. It lives as long as
   the program. */
const char *signal_name(int number);

/* Overwrites size bytes that held a secret, even where the compiler sees that nobody reads them. */
void wipe(void *bytes, size_t size);

#endif
