/* A heap of large pages works: in the first thread, in others, and after a second call. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/heap.h"

#define SIZE ((size_t)4 << 20)
#define BLOCKS 64

/* Blocks of all sizes are allocated, grow and are freed; none overwrites another. */
static void use(unsigned seed)
{
    struct {
        unsigned char *bytes;
        size_t size;
    } block[BLOCKS] = {{0}};

    for (int turn = 0; turn < 4000; turn++) {
        size_t i = (seed = seed * 1103515245 + 12345) >> 8 & (BLOCKS - 1);
        size_t size = (size_t)1 << (seed >> 20) % 18;
        unsigned char *grown;

        for (size_t at = 0; at < block[i].size; at += 97)
            assert_int_equal(block[i].bytes[at], i);
        if (turn % 3 == 0) {
            free(block[i].bytes);
            block[i].bytes = NULL;
        }
        grown = realloc(block[i].bytes, size);
        assert_non_null(grown);
        memset(grown, (int)i, size);
        block[i].bytes = grown;
        block[i].size = size;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(block[i].bytes);
}

static void *in_a_thread(void *context)
{
    heap_use_large_pages(SIZE);
    use(*(unsigned *)context);
    return NULL;
}

static void every_thread_may_have_one(void **state)
{
    unsigned seed[] = {3, 5, 7, 11};
    pthread_t thread[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, in_a_thread, &seed[i]), 0);
    heap_use_large_pages(SIZE);
    use(1);
    heap_use_large_pages(SIZE);
    use(2);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

#if defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
/* proc_pid_smaps(5): the mapping that contains address. hg: madvise has asked for large pages. */
static bool asked_for(const void *address)
{
    char line[512];
    unsigned long long begin, end;
    bool here = false, asked = false;
    FILE *maps = fopen("/proc/self/smaps", "r");

    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            here = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            asked = strstr(line, " hg") != NULL;
    }
    if (maps)
        fclose(maps);
    return asked;
}

static void what_is_allocated_next_is_in_large_pages(void **state)
{
    char *first, *second;

    (void)state;
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) != 0)
        skip();
    heap_use_large_pages(SIZE);
    first = malloc(SIZE / 2);
    second = malloc(SIZE / 4);
    /* the start of the block may be before the first large page */
    assert_true(asked_for(first + SIZE / 4));
    assert_true(asked_for(second + SIZE / 4 - 1));
    free(first);
    free(second);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(what_is_allocated_next_is_in_large_pages),
#endif
        cmocka_unit_test(every_thread_may_have_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
