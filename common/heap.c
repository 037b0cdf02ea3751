/* glibc has a tunable for this, but only the environment can set it. Its heaps (one for each of a
   few threads) grow upwards: here this thread's grows by all that is wanted at once, madvise(2) is
   told what that is for, and it is given back to the heap, which keeps it. */
#include "heap.h"

#include <stdlib.h> /* says whether it is glibc's */

#ifdef __GLIBC__
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
#define LARGE_BLOCK (32 << 20)   /* these come from the system and go back to it */
#define KEPT (32 << 20)          /* so much that is free at its end a heap keeps */
#define BLOCK_HEADS ((size_t)32) /* of two blocks, at most */

static uintptr_t round_up(uintptr_t address)
{
    return (address + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
}

void heap_use_large_pages(size_t size)
{
    /* What is in front of the large pages: never touched; volatile, or it would not be made. */
    static _Thread_local void *volatile front;
    static _Thread_local bool asked;
    uintptr_t begin, first;
    void *all;

    /* Not made for several threads, but glibc adjusts both values itself while these run. */
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
    (void)madvise((void *)first, size, MADV_HUGEPAGE); /* refused: as it always is */
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
