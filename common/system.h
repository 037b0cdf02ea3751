/* What every system has, under a name of its own. */
#ifndef NIXFLEET_SYSTEM_H
#define NIXFLEET_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes the name of a signal without SIG, "KILL". False for a number that has none. */
#define SIGNAL_NAME_SIZE 16
bool signal_name(int number, char out[SIGNAL_NAME_SIZE]);

/* Overwrites size bytes that held a secret, even where the compiler sees that nobody reads them. */
void wipe(void *bytes, size_t size);

/* Whether a process is stopped by a signal. False where that cannot be known. Opens a descriptor
 * for the time. */
bool process_stopped(pid_t pid);

#endif
