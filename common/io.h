/* Small helpers for all directories: whole reads and writes, and resources that free themselves. */
#ifndef NIXFLEET_IO_H
#define NIXFLEET_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Closes *fd if it is not -1. For __attribute__((cleanup)). Keeps errno. */
void close_fd(int *fd);
/* Closes every descriptor from low on. */
void close_from(int low);
/* Frees *(void **)pointer. For __attribute__((cleanup)). Keeps errno. */
void free_pointer(void *pointer);
#define AUTO_CLOSE __attribute__((cleanup(close_fd)))
#define AUTO_FREE __attribute__((cleanup(free_pointer)))

/* Writes all size bytes to a blocking fd, resuming after EINTR and partial writes.
   Returns 0, or -1 with errno of the write that failed (how much was written is then unknown). */
int write_all(int fd, const void *bytes, size_t size);

/* Reads a whole file of at most limit bytes into memory that the caller frees; a NUL follows the
   content. *size may be NULL. Returns NULL with errno (EFBIG over the limit). */
char *read_file(const char *path, size_t limit, size_t *size);

/* The same of an open file, from its offset on. Closes nothing. */
char *read_open_file(int fd, size_t limit, size_t *size);

/* Whether fd is a regular file: what was written there can be read again. False for -1. */
bool is_file(int fd);

/* Number of LFs in size bytes. */
size_t count_lf(const char *text, size_t size);

/* Fills size bytes (256 at most) from the system's random source. Where it has none, from clock and
   process id: two runs still differ. arc4random(3) would end the process when memory is short. */
void random_bytes(void *bytes, size_t size);

/* Milliseconds of the monotonic clock: for durations. It does not jump, and may stop in sleep. */
int64_t monotonic_ms(void);
/* Milliseconds since the Unix epoch, UTC: for people and protocols. It may jump. */
int64_t wall_ms(void);

#endif
