/* For LD_PRELOAD: makes allocations of the process fail when a test wants it, as on a machine that
   is short of memory.

     FAILMEM=FILE shared with the test: three 64-bit numbers. The process counts its allocations in
   the first number. Those from the second number (included) to the third (excluded) fail.

   Programs that the process executes are not affected. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared {
    _Atomic int64_t count, first, end;
};

static struct shared *_Atomic shared;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAILMEM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *all = fd < 0
                    ? MAP_FAILED
                    : mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    unsetenv("FAILMEM");
    unsetenv("LD_PRELOAD");
    if (all != MAP_FAILED)
        atomic_store(&shared, all);
}

static int fails(void)
{
    struct shared *now = atomic_load(&shared);
    int64_t number = now ? atomic_fetch_add(&now->count, 1) : 0;

    if (!now || number < atomic_load(&now->first) || number >= atomic_load(&now->end))
        return 0;
    errno = ENOMEM;
    return 1;
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}
