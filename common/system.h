/* Functions that every system has in its own way. */
#ifndef NIXFLEET_SYSTEM_H
#define NIXFLEET_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes the name of a signal without SIG, such as "KILL". False if the number has no name. */
#define SIGNAL_NAME_SIZE 16
bool signal_name(int number, char out[SIGNAL_NAME_SIZE]);

/* Overwrites size bytes that held a secret. The compiler cannot remove this call. */
void wipe(void *bytes, size_t size);

/* Closes every descriptor from 3 on except the count descriptors in kept (-1 entries are
 * ignored). */
void close_others(const int *kept, size_t count);

/* Whether a signal has stopped the process. False if the system cannot tell. Opens a descriptor for
 * a moment. */
bool process_stopped(pid_t pid);

/* The effective user of a process; -1 if the system cannot tell. */
uid_t process_user(pid_t pid);

/* Whether a signal waits until the process gets a processor, or no longer blocks the signal. False
 * if the system cannot tell. */
bool process_has_pending(pid_t pid, int number);

/* Whether two processes are in the same control groups. False if the system cannot tell. */
bool process_same_cgroup(pid_t one, pid_t other);

/* Whether this process is systemd, as PID 1 or of a user. False if the system cannot tell. */
bool process_is_manager(pid_t pid);

/* Whether pid is an ancestor of this process. False if the system cannot tell. */
bool process_is_ancestor(pid_t pid);

#endif
