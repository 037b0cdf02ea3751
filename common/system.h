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

/* Closes every descriptor from 3 on but the count ones in kept (-1: none). */
void close_others(const int *kept, size_t count);

/* Whether a process is stopped by a signal. False where that cannot be known. Opens a descriptor
 * for the time. */
bool process_stopped(pid_t pid);

/* Whether a process is this one's parent, or the parent of that, and so on. False where that cannot
 * be known. */
bool process_is_ancestor(pid_t pid);

#endif
