/* The two kinds of names in the protocol: host ids and run ids. */
#ifndef NIXFLEET_ID_H
#define NIXFLEET_ID_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_ID_SIZE 64 /* 63 characters and a NUL */
#define RUN_ID_SIZE 37  /* a UUID in text and a NUL */

/* Writes name in lower case to out if it is a host id (a letter or digit, then letters, digits, '-'
   and '_', 63 at most). Returns false, and leaves out alone, if it is none. */
bool host_id_normalize(const char *name, char out[HOST_ID_SIZE]);

/* Makes a run id: a UUIDv7 (RFC 9562) of the wall clock in milliseconds and random bits. */
void run_id_make(int64_t wall_ms, char out[RUN_ID_SIZE]);

/* Milliseconds since the epoch in a run id. */
int64_t run_id_time(const char *id);

/* True for any UUID in lower-case text form. */
bool run_id_valid(const char *id);

#endif
