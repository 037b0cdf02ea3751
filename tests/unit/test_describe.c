/* The description of a run, for any command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_versions.h"
#include <json-c/json.h>

#include "../../transport/body/describe.h"

static json_object *described(const struct run_info *info, struct redactor *redactor)
{
    struct text out = {0};
    json_object *object;

    json_open(&out, NULL, '{');
    describe_whole(&out, info, redactor);
    json_close(&out, '}');
    json_string(&out, NULL, "", 0); /* space for the NUL */
    out.bytes[out.size - 3] = '\0';
    object = json_tokener_parse(out.bytes);
    text_free(&out);
    assert_non_null(object);
    return object;
}

static const char *text_of(json_object *object, const char *key)
{
    return json_object_get_string(json_object_object_get(object, key));
}

static void a_command_is_described_completely(void **state)
{
    char *argv[] = {"nixos-rebuild", "switch", "--flake", ".#a b", NULL};
    struct run_info info = {.argv = argv, .name = "switch", .user = "root", .cols = 80, .rows = 24};
    json_object *object = described(&info, NULL);

    (void)state;
    assert_string_equal(text_of(object, "command"), "nixos-rebuild switch --flake .#a b");
    assert_int_equal(json_object_array_length(json_object_object_get(object, "argv")), 4);
    assert_string_equal(text_of(object, "name"), "switch");
    assert_string_equal(text_of(object, "user"), "root");
    json_object_put(object);
}

/* Two letters of two bytes each, so that the limit is inside one of them or between them. */
static void a_long_command_is_cut_between_letters(void **state)
{
    enum { WORD = 300000 };
    char *word = calloc(1, WORD + 1);

    (void)state;
    for (size_t shift = 0; shift < 2; shift++) {
        char *argv[] = {shift ? "ab" : "a", word, NULL};
        struct run_info info = {.argv = argv};
        json_object *object;
        size_t length;

        for (size_t i = 0; i < WORD; i += 2)
            memcpy(word + i, "\xc3\xa4", 2);
        object = described(&info, NULL);
        length = strlen(text_of(object, "command"));
        assert_uint_in_range(length, DESCRIBE_COMMAND_MAX - 1, DESCRIBE_COMMAND_MAX + 3);
        assert_string_equal(text_of(object, "command") + length - 5, "\xc3\xa4\xe2\x80\xa6");
        assert_null(json_object_object_get(object, "argv"));
        assert_non_null(json_object_object_get(object, "cols"));
        json_object_put(object);
    }
    free(word);
}

static void a_secret_at_the_limit_is_not_shown_in_part(void **state)
{
    static const char secret[] = "correct-horse-battery-staple";
    struct redactor *redactor = redactor_new("", NULL, NULL, NULL);
    char *word = malloc(DESCRIBE_COMMAND_MAX * 2);

    (void)state;
    redactor_add(redactor, secret);
    for (size_t at = DESCRIBE_COMMAND_MAX - 30; at < DESCRIBE_COMMAND_MAX; at++) {
        char *argv[] = {word, NULL};
        struct run_info info = {.argv = argv};
        json_object *object;

        memset(word, 'x', DESCRIBE_COMMAND_MAX * 2 - 1);
        word[DESCRIBE_COMMAND_MAX * 2 - 1] = '\0';
        memcpy(word + at, secret, sizeof secret - 1);
        object = described(&info, redactor);
        assert_null(strstr(text_of(object, "command"), "xcorr"));
        json_object_put(object);
    }
    free(word);
    redactor_free(redactor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_described_completely),
        cmocka_unit_test(a_long_command_is_cut_between_letters),
        cmocka_unit_test(a_secret_at_the_limit_is_not_shown_in_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
