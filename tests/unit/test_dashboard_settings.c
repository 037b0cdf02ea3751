/* Where the dashboard's settings come from, and when it must not start with them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dashboard/auth/policy.h"
#include "dashboard/server/settings.h"

#define HASH "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

static int forget(void **state)
{
    (void)state;
    unsetenv("NIXFLEET_API_TOKEN");
    unsetenv("NIXFLEET_DEV_MODE");
    unsetenv("NIXFLEET_STATUS_HISTORY_DAYS");
    return 0;
}

static void the_environment_outranks_the_file(void **state)
{
    char path[] = "/tmp/nixfleet-settings-XXXXXX";
    int fd = mkstemp(path);
    struct dashboard_settings settings;
    const char *variable;

    (void)state;
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "NIXFLEET_API_TOKEN=\"file\"\nNIXFLEET_VIEW_TOKEN=view\n"
                            "NIXFLEET_AUTO_PROVISION_AGENT_TOKENS=false\n") > 0);
    close(fd);
    setenv("NIXFLEET_API_TOKEN", "environment", 1);
    assert_int_equal(dashboard_settings_load(&settings, path, &variable), 0);
    unlink(path);
    assert_string_equal(settings.api_token, "environment");
    assert_string_equal(settings.view_token, "view");
    assert_false(settings.auto_provision);
    assert_true(settings.allow_shared_agent_token);
    assert_int_equal(settings.history_days, 30);
    dashboard_settings_free(&settings);
}

static void a_value_that_makes_no_sense_is_named(void **state)
{
    struct dashboard_settings settings;
    const char *variable;

    (void)state;
    setenv("NIXFLEET_STATUS_HISTORY_DAYS", "many", 1);
    assert_int_equal(dashboard_settings_load(&settings, NULL, &variable), -1);
    assert_int_equal(errno, EINVAL);
    assert_string_equal(variable, "NIXFLEET_STATUS_HISTORY_DAYS");
    dashboard_settings_free(&settings);
}

static void it_starts_only_with_every_secret(void **state)
{
    char hash[] = HASH, word[] = "word";
    struct dashboard_settings whole = {.password_hash = hash,
                                       .api_token = word,
                                       .session_secrets = word,
                                       .agent_token_hash_secret = word};
    struct dashboard_settings settings = whole;

    (void)state;
    assert_null(auth_refuse_start(&whole, "0.0.0.0", false));
    settings.password_hash = NULL;
    assert_non_null(auth_refuse_start(&settings, "127.0.0.1", false));
    settings = whole;
    settings.api_token = NULL;
    assert_non_null(auth_refuse_start(&settings, "127.0.0.1", false));
    settings = whole;
    settings.session_secrets = NULL;
    assert_non_null(auth_refuse_start(&settings, "127.0.0.1", false));
    settings = whole;
    settings.agent_token_hash_secret = NULL;
    assert_non_null(auth_refuse_start(&settings, "127.0.0.1", false));
    settings = whole;
    settings.require_totp = true;
    assert_non_null(auth_refuse_start(&settings, "127.0.0.1", false));
}

static void dev_mode_stays_on_loopback(void **state)
{
    struct dashboard_settings none = {0};

    (void)state;
    assert_null(auth_refuse_start(&none, "127.0.0.1", true));
    assert_null(auth_refuse_start(&none, "::1", true));
    assert_non_null(auth_refuse_start(&none, "0.0.0.0", true));
    assert_non_null(auth_refuse_start(&none, "::", true));
    assert_false(address_is_loopback("128.0.0.1"));
    assert_false(address_is_loopback("127.example.org"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_environment_outranks_the_file, forget),
        cmocka_unit_test_teardown(a_value_that_makes_no_sense_is_named, forget),
        cmocka_unit_test(it_starts_only_with_every_secret),
        cmocka_unit_test(dev_mode_stays_on_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
