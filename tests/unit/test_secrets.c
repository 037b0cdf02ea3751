/* Secret values are known again without being kept. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/secrets.h"

static bool knows(const struct secrets *secrets, const char *value)
{
    for (size_t i = 0; i < secrets->count; i++)
        if (secrets->value[i].length == strlen(value) &&
            secrets->value[i].rolling == secrets_rolling(value, strlen(value)) &&
            secrets_is(secrets, &secrets->value[i], value))
            return true;
    return false;
}

static void variables_are_chosen_by_name_in_any_case(void **state)
{
    char *environment[] = {"API_TOKEN=value-1",
                           "db_password=value-2",
                           "MY_SECRET=value-3",
                           "SSH_KEY=value-4",
                           "PATH=value-5",
                           "KEYBOARD=value-6",
                           "NIXFLEET_TOKEN=value-7",
                           "X_PASSWD=value-8",
                           "MY_PIN=value-9",
                           "NO_EQUALS_TOKEN",
                           NULL};
    char *patterns[] = {"*_pin", NULL};
    struct secrets secrets;

    (void)state;
    secrets_init(&secrets);
    secrets_add_environment(&secrets, environment, patterns);
    for (const char *digit = "1234789"; *digit; digit++) {
        char value[] = "value-?";

        value[6] = *digit;
        assert_true(knows(&secrets, value));
    }
    assert_false(knows(&secrets, "value-5"));
    assert_false(knows(&secrets, "value-6"));
    assert_int_equal(secrets.count, 7);
}

static void short_long_known_and_too_many_values_are_passed_over(void **state)
{
    static char much[SECRETS_LENGTH_MAX + 2];
    struct secrets secrets;

    (void)state;
    memset(much, 'x', sizeof much - 1);
    secrets_init(&secrets);
    secrets_add(&secrets, "12345");
    secrets_add(&secrets, "");
    secrets_add(&secrets, much);
    assert_int_equal(secrets.count, 0);
    secrets_add(&secrets, much + 1);
    secrets_add(&secrets, "123456");
    secrets_add(&secrets, "123456");
    assert_int_equal(secrets.count, 2);
    for (int i = 0; i < 2 * SECRETS_MAX; i++) {
        char value[24];

        snprintf(value, sizeof value, "value-%d", i);
        secrets_add(&secrets, value);
    }
    assert_int_equal(secrets.count, SECRETS_ROOM);
}

static void many_lines_of_one_value_leave_room_for_the_others(void **state)
{
    static char bundle[20 * SECRETS_MAX];
    char *environment[] = {bundle, "B_TOKEN=the-value", NULL};
    struct secrets secrets;
    size_t length = (size_t)snprintf(bundle, sizeof bundle, "A_KEY=");

    (void)state;
    for (int i = 0; i < SECRETS_MAX + 9; i++)
        length += (size_t)snprintf(bundle + length, sizeof bundle - length, "line-%06d\n", i);
    secrets_init(&secrets);
    secrets_add_environment(&secrets, environment, NULL);
    assert_int_equal(secrets.count, SECRETS_MAX);
    assert_true(secrets_is(&secrets, &secrets.value[0], "the-value"));
    secrets_add(&secrets, "token-of-a-file");
    assert_true(secrets_is(&secrets, &secrets.value[SECRETS_MAX], "token-of-a-file"));
}

static void the_text_form_gives_the_same_set_and_no_value(void **state)
{
    struct secrets secrets, again;
    char *text;

    (void)state;
    secrets_init(&secrets);
    secrets_add(&secrets, "hunter2-hunter2");
    secrets_add(&secrets, "second-value");
    text = secrets_format(&secrets);
    assert_non_null(text);
    assert_null(strstr(text, "hunter2"));
    assert_int_equal(secrets_parse(&again, text), 0);
    assert_int_equal(again.count, 2);
    assert_true(knows(&again, "hunter2-hunter2") && knows(&again, "second-value"));
    assert_false(knows(&again, "hunter2-hunter3"));
    free(text);
}

static void two_sets_have_two_salts(void **state)
{
    struct secrets one, other;

    (void)state;
    secrets_init(&one);
    secrets_init(&other);
    secrets_add(&one, "the same value");
    secrets_add(&other, "the same value");
    assert_memory_not_equal(one.value[0].digest, other.value[0].digest, 32);
}

static void the_hash_rolls_by_one_byte(void **state)
{
    uint64_t rolling = secrets_rolling("abc", 3);

    (void)state;
    assert_true(rolling * SECRETS_BASE + 'd' == secrets_rolling("abcd", 4));
}

static void a_damaged_text_is_refused_wherever_it_is_cut(void **state)
{
    struct secrets secrets, again;
    char *text;
    size_t length;

    (void)state;
    secrets_init(&secrets);
    secrets_add(&secrets, "hunter2-hunter2");
    text = secrets_format(&secrets);
    length = strlen(text);
    for (size_t cut = 1; cut < length; cut++) {
        char saved = text[cut];

        text[cut] = '\0';
        errno = 0;
        if (cut == SECRETS_SALT_SIZE - 1)
            assert_int_equal(secrets_parse(&again, text), 0); /* an empty set */
        else if (secrets_parse(&again, text) == 0 || errno != EINVAL)
            fail_msg("cut at %zu", cut);
        text[cut] = saved;
    }
    assert_int_equal(secrets_parse(&again, "not a salt"), -1);
    assert_int_equal(secrets_parse(&again, ""), 0);
    assert_int_equal(again.count, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_chosen_by_name_in_any_case),
        cmocka_unit_test(short_long_known_and_too_many_values_are_passed_over),
        cmocka_unit_test(many_lines_of_one_value_leave_room_for_the_others),
        cmocka_unit_test(the_text_form_gives_the_same_set_and_no_value),
        cmocka_unit_test(two_sets_have_two_salts),
        cmocka_unit_test(the_hash_rolls_by_one_byte),
        cmocka_unit_test(a_damaged_text_is_refused_wherever_it_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
