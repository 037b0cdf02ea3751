/* Wrong clocks: how times of a writer are converted, and when the server trusts its own clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dashboard/fleet/clock.h"

#define NOW INT64_C(1800000000000) /* 2027 */
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static void a_writers_clock_is_corrected(void **state)
{
    static const int64_t wrong[] = {HOUR, -HOUR, 60 * 365 * DAY, -NOW + 5000};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t offset = clock_offset(NOW + wrong[i], NOW);

        assert_int_equal(offset, -wrong[i]);
        assert_int_equal(clock_server_time(NOW + wrong[i] - 2000, offset, NOW), NOW - 2000);
        assert_int_equal(clock_server_time(NOW + wrong[i] + 2000, offset, NOW), NOW);
    }
    assert_int_equal(clock_offset(NOW - 4000, NOW), 0); /* this is the delay of the network */
    assert_int_equal(clock_offset(0, NOW), 0);          /* the writer sent no time */
}

static void without_a_writers_clock_only_impossible_times_are_corrected(void **state)
{
    (void)state;
    assert_int_equal(clock_server_time(NOW - HOUR, 0, NOW), NOW - HOUR);
    assert_int_equal(clock_server_time(NOW + HOUR, 0, NOW), NOW);
    assert_int_equal(clock_server_time(5000, 0, NOW), 0); /* 1970: a clock that was never set */
    assert_int_equal(clock_server_time(0, 0, NOW), 0);
}

static void a_clock_that_goes_on_is_trusted(void **state)
{
    struct clock_guard guard;

    (void)state;
    clock_guard_start(&guard, NOW - 10 * DAY, 0, NOW, 1000);
    for (int64_t passed = 0; passed < 30 * DAY; passed += HOUR)
        assert_true(clock_guard_trusts(&guard, NOW + passed + passed / 10000, 1000 + passed));
    clock_guard_start(&guard, 0, 0, NOW, 1000); /* an empty store */
    assert_true(clock_guard_trusts(&guard, NOW, 1000));
}

static void a_clock_that_jumped_is_not_trusted_for_a_day(void **state)
{
    static const int64_t jumps[] = {HOUR, -HOUR, 1000 * DAY};

    (void)state;
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct clock_guard guard;
        int64_t wall = NOW + jumps[i];

        clock_guard_start(&guard, NOW, 0, NOW, 1000);
        assert_false(clock_guard_trusts(&guard, wall + 1000, 2000));
        assert_false(clock_guard_trusts(&guard, wall + 23 * HOUR, 1000 + 23 * HOUR));
        assert_true(clock_guard_trusts(&guard, wall + 25 * HOUR, 1000 + 25 * HOUR));
        /* the clock jumps back */
        assert_false(clock_guard_trusts(&guard, NOW + 26 * HOUR, 1000 + 26 * HOUR));
    }
}

static void a_start_far_from_the_newest_stored_time_is_not_trusted(void **state)
{
    struct clock_guard guard;

    (void)state;
    clock_guard_start(&guard, NOW, 0, NOW + 40 * DAY, 1000);
    assert_false(clock_guard_trusts(&guard, NOW + 40 * DAY, 1000));
    clock_guard_start(&guard, NOW, 0, NOW - HOUR, 1000);
    assert_false(clock_guard_trusts(&guard, NOW - HOUR, 1000));
    clock_guard_start(&guard, NOW, NOW - HOUR, NOW, 1000); /* restarted an hour after a jump */
    assert_false(clock_guard_trusts(&guard, NOW, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writers_clock_is_corrected),
        cmocka_unit_test(without_a_writers_clock_only_impossible_times_are_corrected),
        cmocka_unit_test(a_clock_that_goes_on_is_trusted),
        cmocka_unit_test(a_clock_that_jumped_is_not_trusted_for_a_day),
        cmocka_unit_test(a_start_far_from_the_newest_stored_time_is_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
