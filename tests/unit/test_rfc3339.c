/* Times as people, scripts and other programs write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_versions.h"

#include "common/hex.h"
#include "common/rfc3339.h"

static int64_t parsed(const char *text)
{
    int64_t ms = -1;

    if (!rfc3339_parse(text, &ms))
        fail_msg("not read: %s", text);
    return ms;
}

static void the_same_moment_is_read_from_every_zone(void **state)
{
    static const char *const same[] = {
        "2026-12-01T07:48:31Z",      "2026-12-01t07:48:31z",          "2026-12-01T07:48:31",
        "2026-12-01T09:48:31+02:00", "2026-12-01T09:48:31 02:00",     "2026-12-01T09:48:31+0200",
        "2026-12-01T02:18:31-05:30", "2026-11-30T23:48:31.000-08:00", "2026-12-01T07:48:31.000000",
        "2026-12-01T07:48:31-00:00", "2026-12-02T06:48:31+23:00"};

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_int_equal(parsed(same[i]), INT64_C(1796111311000));
}

static void fractions_are_read_to_the_millisecond(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01T00:00:00.5Z"), 500);
    assert_int_equal(parsed("1970-01-01T00:00:00.079999"), 79);
    assert_int_equal(parsed("1970-01-01T00:00:00.123456789012345678901234567890+00:00"), 123);
    assert_int_equal(parsed("1970-01-01T00:00:00"), 0);
    assert_int_equal(parsed("1969-12-31T23:59:59Z"), -1000);
    assert_int_equal(parsed("2024-02-29T23:59:60Z"), parsed("2024-03-01T00:00:00Z"));
}

static void a_text_that_is_not_a_time_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "now",
                                        "2026-12-01",
                                        "2026-12-01 07:48:31",
                                        "2026-12-01T07:48",
                                        "2026-12-01T07:48:31.Z",
                                        "2026-12-01T07:48:31Z ",
                                        "2026-12-01T07:48:31+2",
                                        "2026-12-01T07:48:31+24:00",
                                        "2026-12-01T07:48:31+02:60",
                                        "2026-12-01T07:48:31 UTC",
                                        "2026-13-01T07:48:31Z",
                                        "2026-00-01T07:48:31Z",
                                        "2026-02-29T07:48:31Z",
                                        "2100-02-29T07:48:31Z",
                                        "2026-12-00T07:48:31Z",
                                        "2026-12-01T24:00:00Z",
                                        "2026-12-01T07:60:00Z",
                                        "+026-12-01T07:48:31Z",
                                        "20261-12-01T07:48:31Z"};
    int64_t ms = 7;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (rfc3339_parse(wrong[i], &ms))
            fail_msg("read: %s", wrong[i]);
    assert_int_equal(ms, 7);
}

static void what_is_written_is_read_back(void **state)
{
    char text[RFC3339_SIZE];

    (void)state;
    for (int64_t ms = 0; ms < INT64_C(253402300800000); ms += INT64_C(86399999) * 997) {
        rfc3339_format(ms, text);
        assert_int_equal(parsed(text), ms);
    }
}

static void hex_has_two_digits_for_each_byte(void **state)
{
    char out[9];

    (void)state;
    hex_encode((const unsigned char *)"\x00\x9f\xff\x10", 4, out);
    assert_string_equal(out, "009fff10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_moment_is_read_from_every_zone),
        cmocka_unit_test(fractions_are_read_to_the_millisecond),
        cmocka_unit_test(a_text_that_is_not_a_time_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(hex_has_two_digits_for_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
