/* glibc has a tunable for large pages, but only the environment can set it. A glibc heap (one for
   each of a few threads) grows upwards. So this thread lets its heap grow once by all that is
   wanted, marks the memory with madvise(2), and frees it; the heap keeps it. */
#include "heap.h"

#include <stdlib.h> /* defines __GLIBC__ */

#ifdef __GLIBC__
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
#define LARGE_BLOCK (32 << 20)   /* larger blocks come from the system and go back to it */
#define KEPT (32 << 20)          /* a heap keeps this much free memory at its end */
#define BLOCK_HEADS ((size_t)32) /* of two blocks, at most */

static uintptr_t round_up(uintptr_t address)
{
    return (address + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
}

void heap_use_large_pages(size_t size)
{
    /* The memory before the first large page. It is never used; volatile, or the compiler would
     * remove the allocation. */
    static _Thread_local void *volatile front;
    static _Thread_local bool asked;
    uintptr_t begin, first;
    void *all;

    /* mallopt is not documented for several threads, but glibc itself adjusts both values while
     * threads run. */
    if (asked || mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK) != 1 ||
        mallopt(M_TRIM_THRESHOLD, KEPT) != 1)
        return;
    asked = true;
    size = round_up(size);
    all = malloc(size + LARGE_PAGE);
    begin = (uintptr_t)all;
    first = round_up(begin);
    if (!all)
        return;
    /* without large pages the heap works as usual */
    (void)madvise((void *)first, size, MADV_HUGEPAGE);
    free(all);
    if (first - begin > BLOCK_HEADS)
        front = malloc(first - begin - BLOCK_HEADS);
    (void)front;
}
#else
void heap_use_large_pages(size_t size)
{
    (void)size;
}
#endif
