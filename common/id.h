/* The two kinds of names in the protocol: host ids and run ids. */
#ifndef NIXFLEET_ID_H
#define NIXFLEET_ID_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_ID_SIZE 64 /* 63 characters and a NUL */
#define RUN_ID_SIZE 37  /* a UUID in text and a NUL */

/* If name is a host id (a letter or digit, then letters, digits, '-' and '_', at most 63), writes
   it in lower case to out. Otherwise returns false and leaves out unchanged. */
bool host_id_normalize(const char *name, char out[HOST_ID_SIZE]);

/* Makes a run id: a UUIDv7 (RFC 9562) of the wall clock in milliseconds and random bits. */
void run_id_make(int64_t wall_ms, char out[RUN_ID_SIZE]);

/* The time in a run id, in milliseconds since the epoch. id must be valid. */
int64_t run_id_time(const char *id);

/* True for any UUID in lower-case text form. */
bool run_id_valid(const char *id);

#endif
