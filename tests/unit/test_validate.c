/* The answer to a body with a wrong form says where and why; a right body passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>

#include "dashboard/fleet/validate.h"

/* Expects this compact answer, or "" for none. */
static void expect(const char *text, const struct field_rule *rules, const char *expected)
{
    json_object *body = json_tokener_parse(text);
    struct text answer = {0};

    assert_int_equal(validate_body(body, rules, &answer), *expected == '\0');
    text_add(&answer, "", 1);
    assert_string_equal(answer.bytes, expected);
    text_free(&answer);
    json_object_put(body);
}
#define FAULT(field, msg, type) \
    "{\"detail\":[{\"loc\":[\"body\",\"" field "\"],\"msg\":\"" msg "\",\"type\":\"" type "\"}]}"

static void valid_bodies_with_unknown_keys_pass(void **state)
{
    (void)state;
    expect("{\"hostname\":\"Hsb1\",\"host_type\":\"nixos\",\"x\":[1],\"icon\":null}",
           register_fields, "");
    expect("{\"command\":\"update\"}", command_fields, "");
    expect("{\"current\":0,\"total\":3,\"running\":false}", test_progress_fields, "");
}

static void a_broken_field_is_named(void **state)
{
    (void)state;
    expect("{}", command_fields, FAULT("command", "field required", "value_error.missing"));
    expect("{\"command\":\"rm\"}", command_fields,
           FAULT("command", "unexpected value", "value_error.const"));
    expect("{\"hostname\":\"a\",\"host_type\":\"linux\"}", register_fields,
           FAULT("host_type", "unexpected value", "value_error.const"));
    expect("{\"hostname\":\"a\",\"host_type\":\"nixos\",\"poll_interval\":0}", register_fields,
           FAULT("poll_interval", "ensure this value is greater than or equal to 1",
                 "value_error.number.not_ge"));
    expect(
        "{\"hostname\":\"a\",\"host_type\":\"nixos\",\"agent_version\":\"123456789012345678901\"}",
        register_fields,
        FAULT("agent_version", "ensure this value has at most 20 characters",
              "value_error.any_str.max_length"));
    expect("{\"current\":-1,\"total\":3}", test_progress_fields,
           FAULT("current", "ensure this value is greater than or equal to 0",
                 "value_error.number.not_ge"));
    expect("{\"status\":7}", status_fields, FAULT("status", "str type expected", "type_error.str"));
}

static void a_body_that_is_not_an_object_is_refused(void **state)
{
    (void)state;
    expect("[]", command_fields,
           "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"value is not a valid dict\","
           "\"type\":\"type_error.dict\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_bodies_with_unknown_keys_pass),
        cmocka_unit_test(a_broken_field_is_named),
        cmocka_unit_test(a_body_that_is_not_an_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
