/* What redaction guarantees for single lines. */
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
    struct redactor *redactor = redactor_new("", NULL, NULL, NULL);

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
    /* three values, each of which overlaps the next one */
    expect(*state, "correct-horse-battery-staple", "[redacted]");
    expect(*state, "\033[1mshor\033[mty", "\033[1m[redacted]\033[m");
}

static void colours_do_not_hide_a_value_and_stay(void **state)
{
    expect(*state, "a correct\033[31m-ho\033[mrse b", "a [redacted]\033[31m\033[m b");
}

#define LINK(target, text) "\033]8;;" target "\033\\" text "\033]8;;\033\\"

static void a_link_with_a_value_in_its_target_is_left_out(void **state)
{
    expect(*state, LINK("https://a.example/?t=" SECRET, "here") " " LINK("https://b.example", "b"),
           "here\033]8;;\033\\ " LINK("https://b.example", "b"));
    expect(*state, LINK("https://a.example/?t=" SECRET, SECRET), "[redacted]\033]8;;\033\\");
    expect(*state, "correct" LINK("https://b.example", "-ho") "rse",
           "[redacted]" LINK("https://b.example", ""));
    expect(*state, LINK("https://b.example", "x"), LINK("https://b.example", "x"));
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
    char *environment[] = {(char *)"X_TOKEN=abcdef-h", NULL};
    struct secrets secrets;
    char *text;
    struct redactor *redactor;

    (void)state;
    secrets_init(&secrets);
    free(secrets_add_all(&secrets, environment, NULL, NULL));
    text = secrets_format(&secrets);
    secrets_free(&secrets);
    redactor = redactor_new(text, NULL, NULL, NULL);
    expect(redactor, "xabcdef-hx", "x[redacted]x");
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
    free(secrets_add_all(&secrets, environment, NULL, NULL));
    text = secrets_format(&secrets);
    secrets_free(&secrets);
    redactor = redactor_new(text, environment, NULL, NULL);
    expect(redactor, "first-line-of-it", "[redacted]");
    expect(redactor, "and-the-second", "[redacted]");
    expect(redactor, "x with-a-line-end x", "x [redacted] x");
    assert_int_equal(redact_safe_length(redactor, "and-the-s", 9), 0);
    redactor_free(redactor);
    free(text);
}

static void without_readable_fingerprints_there_is_no_redactor(void **state)
{
    (void)state;
    assert_null(redactor_new("what is this", NULL, NULL, NULL));
    assert_null(redactor_new("2:0123456789abcdef0123456789abcdef:0,", NULL, NULL, NULL));
}

/* As a terminal shows them: a tab is shown as several blanks, up to the next tab stop. */
static void blanks_of_a_value_may_be_several(void **state)
{
    redactor_add(*state, "tab\tbed-secret");
    expect(*state, "x tab     bed-secret y", "x [redacted]     y");
    expect(*state, "x tab bed-secret y", "x [redacted] y");
    expect(*state, "two  blanks", "two  blanks");
}

/* A text was cut in the middle of a value. Other values before make the redacted text shorter. */
static void a_value_at_the_edge_of_a_cut_text_leaves_nothing(void **state)
{
    enum { SHOWN = 511, ROOM = SHOWN + 1 + REDACT_AHEAD };
    char value[401], text[4000], cut[ROOM];

    (void)state;
    for (size_t i = 0; i < sizeof value - 1; i++)
        value[i] = (char)('!' + i * i % 89);
    value[sizeof value - 1] = '\0';
    for (size_t before = 0; before < ROOM; before += 7) {
        struct redactor *redactor = redactor_new("", NULL, NULL, NULL);
        size_t length;
        const char *clean;

        redactor_add(redactor, value);
        snprintf(text, sizeof text, "%s%.*s%s end", before % 2 ? value : "", (int)before,
                 "................................................................................"
                 "................................................................................"
                 "................................................................................",
                 value);
        snprintf(cut, sizeof cut, "%.*s", ROOM - 1, text);
        clean = redact_cut_text(redactor, cut, ROOM, SHOWN, &length);
        assert_true(length <= SHOWN);
        for (size_t i = 0; i + 4 <= length; i++)
            assert_null(memmem(value, sizeof value - 1, clean + i, 4) &&
                                !memmem("[redacted]", 10, clean + i, 4)
                            ? clean
                            : NULL);
        redactor_free(redactor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_value_is_replaced_wherever_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(values_of_one_length_and_of_others_are_all_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(colours_do_not_hide_a_value_and_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_with_a_value_in_its_target_is_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_value_across_two_lines_leaves_nothing_in_either, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_beginning_of_a_value_is_held_back, setup, teardown),
        cmocka_unit_test(fingerprints_find_what_the_environment_held),
        cmocka_unit_test(each_line_of_a_private_key_is_replaced),
        cmocka_unit_test(without_readable_fingerprints_there_is_no_redactor),
        cmocka_unit_test_setup_teardown(blanks_of_a_value_may_be_several, setup, teardown),
        cmocka_unit_test(a_value_at_the_edge_of_a_cut_text_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
