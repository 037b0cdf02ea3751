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

/* Writes all size bytes to a blocking fd; repeats after EINTR and partial writes. Returns 0, or -1
   with errno of the write that failed (how many bytes were written is then unknown). */
int write_all(int fd, const void *bytes, size_t size);

/* Reads a whole file of at most limit bytes. The caller frees the result; a NUL follows the
   content. *size, the size without this NUL, may be NULL. Returns NULL with errno, EFBIG if the
   file is larger than limit. */
char *read_file(const char *path, size_t limit, size_t *size);

/* Does the same with an open file, from its offset on. Does not close fd. */
char *read_open_file(int fd, size_t limit, size_t *size);

/* Whether fd is a regular file, so that what was written can be read again. False for -1. */
bool is_file(int fd);

/* The number of LFs in size bytes. */
size_t count_lf(const char *text, size_t size);

/* Fills size bytes (at most 256) from the system's random source. If the system has none, uses
   clock and process id, so that two runs still differ. (arc4random(3) would end the process when
   memory is short.) */
void random_bytes(void *bytes, size_t size);

/* Milliseconds of the monotonic clock, for durations. This clock does not jump, and may stop while
 * the machine sleeps. */
int64_t monotonic_ms(void);
/* Milliseconds since the Unix epoch in UTC, for people and protocols. This clock may jump. */
int64_t wall_ms(void);

#endif
