/* Whole reads and writes, self-freeing resources, and the two clocks. */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void close_fd(int *fd)
{
    int saved = errno;

    if (*fd != -1)
        close(*fd); /* nobody could act on a failure here */
    *fd = -1;
    errno = saved;
}

void close_from(int low)
{
#ifdef __APPLE__ /* has no closefrom(3) */
    for (int fd = low, end = getdtablesize(); fd < end; fd++)
        close(fd);
#else
    closefrom(low);
#endif
}

void free_pointer(void *pointer)
{
    int saved = errno;

    free(*(void **)pointer);
    errno = saved;
}

int write_all(int fd, const void *bytes, size_t size)
{
    const char *next = bytes;

    while (size > 0) {
        ssize_t n = write(fd, next, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        next += n;
        size -= (size_t)n;
    }
    return 0;
}

char *read_open_file(int fd, size_t limit, size_t *size)
{
    AUTO_FREE char *content = NULL;
    size_t used = 0, capacity = 4096;

    for (;;) {
        char *grown = realloc(content, capacity + 1);
        ssize_t n;

        if (!grown)
            return NULL;
        content = grown;
        n = read(fd, content + used, capacity - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NULL;
        used += (size_t)n;
        if (used > limit) {
            errno = EFBIG;
            return NULL;
        }
        if (n == 0)
            break;
        if (used == capacity)
            capacity *= 2;
    }
    content[used] = '\0';
    if (size)
        *size = used;
    char *result = content;
    content = NULL;
    return result;
}

char *read_file(const char *path, size_t limit, size_t *size)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? NULL : read_open_file(fd, limit, size);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool is_file(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

/* Bytes that the compiler's vector code counts at once. */
#define BLOCK 128

static unsigned count_block(const char *text)
{
    unsigned char count = 0;

    for (size_t i = 0; i < BLOCK; i++)
        count = (unsigned char)(count + (text[i] == '\n'));
    return count;
}

size_t count_lf(const char *text, size_t size)
{
    size_t count = 0, i = 0;

    /* Lines are short, so a call of memchr for each line is slower than a look at each byte. */
    for (; size - i >= BLOCK; i += BLOCK)
        count += count_block(text + i);
    for (; i < size; i++)
        count += text[i] == '\n';
    return count;
}

void random_bytes(void *bytes, size_t size)
{
    struct timespec now;
    uint64_t x;

    if (getentropy(bytes, size) == 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    x = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + ((uint64_t)getpid() << 32);
    for (size_t i = 0; i < size; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((unsigned char *)bytes)[i] = (unsigned char)(x >> 56);
    }
}

int64_t monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}
