/* Counting in blocks gives the same result as counting bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/io.h"

#define SIZE 700

static void every_lf_is_counted_wherever_it_stands(void **state)
{
    char text[SIZE];

    (void)state;
    srand(11);
    for (int dense = 1; dense < 40; dense += 6)
        for (size_t start = 0; start < 140; start += 7)
            for (size_t end = start; end <= SIZE; end++) {
                size_t wanted = 0;

                for (size_t i = 0; i < SIZE; i++) {
                    text[i] = rand() % dense ? 'x' : '\n';
                    wanted += i >= start && i < end && text[i] == '\n';
                }
                assert_int_equal(count_lf(text + start, end - start), wanted);
            }
}

static void a_block_of_nothing_else_does_not_overflow(void **state)
{
    char text[SIZE];

    (void)state;
    memset(text, '\n', sizeof text);
    for (size_t size = 0; size <= SIZE; size++)
        assert_int_equal(count_lf(text, size), size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lf_is_counted_wherever_it_stands),
        cmocka_unit_test(a_block_of_nothing_else_does_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
