/* What redaction promises, on lines alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../transport/body/redact.h"

#define SECRET "correct-horse"

static int setup(void **state)
{
    struct redactor *redactor = redactor_new("", NULL);

    redactor_add(redactor, SECRET);
    *state = redactor;
    return 0;
}

static int teardown(void **state)
{
    redactor_free(*state);
    return 0;
}

static void expect(struct redactor *redactor, const char *text, const char *wanted)
{
    size_t length;
    const char *clean = redact_text(redactor, text, strlen(text), &length);

    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(clean, wanted, length);
}

static void a_value_is_replaced_wherever_it_stands(void **state)
{
    expect(*state, SECRET, "[redacted]");
    expect(*state, "a " SECRET " b " SECRET, "a [redacted] b [redacted]");
    expect(*state, SECRET SECRET, "[redacted][redacted]");
    expect(*state, "correct-hors", "correct-hors");
    expect(*state, "", "");
}

static void values_of_one_length_and_of_others_are_all_found(void **state)
{
    redactor_add(*state, "battery-stapl"); /* as long as SECRET */
    redactor_add(*state, "horse-battery-staple");
    redactor_add(*state, "shorty");
    expect(*state, "battery-stapl shorty " SECRET, "[redacted] [redacted] [redacted]");
    expect(*state, "short", "short");
    expect(*state, "xshortyx", "x[redacted]x");
    expect(*state, "correct-horse-battery-staple", "[redacted]"); /* each overlaps the one before */
    expect(*state, "\033[1mshor\033[mty", "\033[1m[redacted]\033[m");
}

static void colours_do_not_hide_a_value_and_stay(void **state)
{
    expect(*state, "a correct\033[31m-ho\033[mrse b", "a [redacted]\033[31m\033[m b");
}

static void a_value_across_two_lines_leaves_nothing_in_either(void **state)
{
    size_t covered, length;
    const char *clean =
        redact_line(*state, "end correct-", 12, 0, "horse begin", 11, &covered, &length);

    assert_int_equal(length, strlen("end [redacted]"));
    assert_memory_equal(clean, "end [redacted]", length);
    assert_int_equal(covered, 5);
    clean = redact_line(*state, "horse begin", 11, covered, NULL, 0, NULL, &length);
    assert_int_equal(length, strlen(" begin"));
    assert_memory_equal(clean, " begin", length);
}

static void the_beginning_of_a_value_is_held_back(void **state)
{
    assert_int_equal(redact_safe_length(*state, "pw: correct-h", 13), 4);
    assert_int_equal(redact_safe_length(*state, "pw: cor", 7), 7);
    assert_int_equal(redact_safe_length(*state, "nothing", 7), 7);
}

static void fingerprints_find_what_the_environment_held(void **state)
{
    char *environment[] = {(char *)"X_TOKEN=abcdefgh", NULL};
    struct secrets secrets;
    char *text;
    struct redactor *redactor;

    (void)state;
    secrets_init(&secrets);
    secrets_add_environment(&secrets, environment, NULL);
    text = secrets_format(&secrets);
    redactor = redactor_new(text, NULL);
    expect(redactor, "xabcdefghx", "x[redacted]x");
    redactor_free(redactor);
    free(text);
}

static void each_line_of_a_private_key_is_replaced(void **state)
{
    char *environment[] = {
        (char *)"SSH_KEY=-----BEGIN KEY-----\r\nfirst-line-of-it\r\nand-the-second"
                "\r\n-----END KEY-----\r\n",
        (char *)"X_TOKEN=with-a-line-end\n", NULL};
    struct secrets secrets;
    char *text;
    struct redactor *redactor;

    (void)state;
    secrets_init(&secrets);
    secrets_add_environment(&secrets, environment, NULL);
    text = secrets_format(&secrets);
    redactor = redactor_new(text, environment);
    expect(redactor, "first-line-of-it", "[redacted]");
    expect(redactor, "and-the-second", "[redacted]");
    expect(redactor, "x with-a-line-end x", "x [redacted] x");
    assert_int_equal(redact_safe_length(redactor, "and-the-s", 9), 0);
    redactor_free(redactor);
    free(text);
}

static void the_beginning_of_a_value_at_the_end_of_a_cut_text_goes(void **state)
{
    size_t length;

    redact_cut_text(*state, "pw: correct-h", 16, &length);
    assert_int_equal(length, 4);
    redact_cut_text(*state, "pw: correct-h", 32, &length); /* not cut */
    assert_int_equal(length, 13);
}

static void damaged_fingerprints_are_none(void **state)
{
    struct redactor *redactor = redactor_new("what is this", NULL);

    (void)state;
    expect(redactor, "text", "text");
    redactor_free(redactor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_value_is_replaced_wherever_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(values_of_one_length_and_of_others_are_all_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(colours_do_not_hide_a_value_and_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_across_two_lines_leaves_nothing_in_either, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_beginning_of_a_value_is_held_back, setup, teardown),
        cmocka_unit_test(fingerprints_find_what_the_environment_held),
        cmocka_unit_test(each_line_of_a_private_key_is_replaced),
        cmocka_unit_test_setup_teardown(the_beginning_of_a_value_at_the_end_of_a_cut_text_goes,
                                        setup, teardown),
        cmocka_unit_test(damaged_fingerprints_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
