/* The sources of the dashboard's settings, and when it must not start with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* Loads settings from a file with this content. */
static struct dashboard_settings *load(const char *text, struct problems *problems)
{
    char path[] = "/tmp/nixfleet-settings-XXXXXX";
    int fd = mkstemp(path);
    struct dashboard_settings *settings;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    *problems = (struct problems){0};
    settings = dashboard_settings_load(path, problems);
    unlink(path);
    assert_non_null(settings);
    return settings;
}

static bool says(const struct problems *problems, bool fatal, const char *word)
{
    for (size_t i = 0; i < problems->count; i++)
        if (problems->list[i].fatal == fatal && strstr(problems->list[i].text, word))
            return true;
    return false;
}

static void the_environment_outranks_the_file(void **state)
{
    struct problems problems;
    struct dashboard_settings *settings;

    (void)state;
    setenv("NIXFLEET_API_TOKEN", "environment", 1);
    settings = load("NIXFLEET_API_TOKEN=\"file\"\nNIXFLEET_VIEW_TOKEN=view\n"
                    "NIXFLEET_AUTO_PROVISION_AGENT_TOKENS=false\n",
                    &problems);
    assert_int_equal(problems.count, 0);
    assert_string_equal(settings->api_token, "environment");
    assert_string_equal(settings->view_token, "view");
    assert_false(settings->auto_provision);
    assert_true(settings->allow_shared_agent_token);
    assert_int_equal(settings->history_days, 30);
    dashboard_settings_free(settings);
}

static void all_wrong_settings_are_named_at_once(void **state)
{
    struct problems problems;
    struct dashboard_settings *settings;

    (void)state;
    settings =
        load("NIXFLEET_STATUS_HISTORY_DAYS=many\nNIXFLEET_REQUIRE_TOTP=perhaps\n"
             "NIXFLEET_TRUST_PROXY_HEADERS=true\nNIXFLEET_TRUSTED_PROXY_IPS=10.0.0.0/8,nonsense\n"
             "NIXFLEET_KEEP_RUN=5\nNIXFLEET_TOTALLY_UNKNOWN=5\nPATH=/bin\nNIXFLEET_URL=x\n",
             &problems);
    assert_int_equal(problems.fatal, 3);
    assert_int_equal(problems.count, 5);
    assert_true(says(&problems, true, "NIXFLEET_STATUS_HISTORY_DAYS"));
    assert_true(says(&problems, true, "NIXFLEET_REQUIRE_TOTP"));
    assert_true(says(&problems, true, "nonsense"));
    assert_true(says(&problems, false, "NIXFLEET_KEEP_RUNS meant?"));
    assert_true(says(&problems, false, "NIXFLEET_TOTALLY_UNKNOWN"));
    dashboard_settings_free(settings);
    settings = dashboard_settings_load("/nonexistent/file", &problems);
    assert_true(says(&problems, true, "/nonexistent/file: No such file"));
    dashboard_settings_free(settings);
}

static void a_file_that_others_can_read_is_reported(void **state)
{
    char path[] = "/tmp/nixfleet-settings-XXXXXX";
    int fd = mkstemp(path);
    struct problems problems = {0};

    (void)state;
    assert_true(fd >= 0 && fchmod(fd, 0644) == 0);
    close(fd);
    dashboard_settings_free(dashboard_settings_load(path, &problems));
    unlink(path);
    assert_int_equal(problems.fatal, 0);
    assert_true(says(&problems, false, "chmod 600"));
}

static void it_starts_only_with_valid_secrets(void **state)
{
    static char hash[] = HASH, secret[] = "0123456789abcdef", word[] = "x",
                totp[] = "not base32 !!", list[] = "0123456789abcdef,x";
    const struct dashboard_settings whole = {.password_hash = hash,
                                             .api_token = word,
                                             .session_secrets = secret,
                                             .agent_token_hash_secret = secret};
    struct dashboard_settings cases[9];
    static const char *const names[] = {
        "PASSWORD_HASH is not set", "PASSWORD_HASH is not a", "API_TOKEN",
        "SESSION_SECRETS is not",   "SESSION_SECRETS: each",  "SESSION_SECRETS: each",
        "AGENT_TOKEN_HASH_SECRET",  "REQUIRE_TOTP",           "TOTP_SECRET is"};
    struct problems problems = {0};

    (void)state;
    auth_check_settings(&whole, "0.0.0.0", false, &problems);
    assert_int_equal(problems.count, 0);
    for (size_t i = 0; i < 9; i++)
        cases[i] = whole;
    cases[0].password_hash = NULL;
    cases[1].password_hash = word;
    cases[2].api_token = NULL;
    cases[3].session_secrets = NULL;
    cases[4].session_secrets = word;
    cases[5].session_secrets = list;
    cases[6].agent_token_hash_secret = NULL;
    cases[7].require_totp = true;
    cases[8].totp_secret = totp;
    for (size_t i = 0; i < 9; i++) {
        problems = (struct problems){0};
        auth_check_settings(&cases[i], "127.0.0.1", false, &problems);
        assert_int_equal(problems.fatal, 1);
        assert_true(says(&problems, true, names[i]));
    }
}

static void settings_that_are_held_outlive_a_reload(void **state)
{
    struct settings_in_use in_use = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct problems problems;
    struct settings_holder *held;

    (void)state;
    unsetenv("NIXFLEET_API_TOKEN");
    assert_int_equal(settings_use(&in_use, load("NIXFLEET_API_TOKEN=old\n", &problems)), 0);
    held = settings_hold(&in_use);
    assert_int_equal(settings_use(&in_use, load("NIXFLEET_API_TOKEN=new\n", &problems)), 0);
    assert_string_equal(settings_of(held)->api_token, "old");
    settings_release(held);
    held = settings_hold(&in_use);
    assert_string_equal(settings_of(held)->api_token, "new");
    settings_release(held);
    settings_forget(&in_use);
}

static void dev_mode_stays_on_loopback(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "::1", "0.0.0.0", "::"};
    struct dashboard_settings none = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct problems problems = {0};

        auth_check_settings(&none, addresses[i], true, &problems);
        assert_int_equal(problems.fatal, i < 2 ? 0 : 1);
    }
    assert_false(address_is_loopback("128.0.0.1"));
    assert_false(address_is_loopback("127.example.org"));
}

static void a_fatal_problem_counts_behind_any_number_of_others(void **state)
{
    struct problems problems = {0};

    (void)state;
    for (int i = 0; i < PROBLEMS_MAX + 1; i++)
        problem_add(&problems, false, "number %d", i);
    assert_int_equal(problems.fatal, 0);
    problem_add(&problems, true, "fatal");
    assert_int_equal(problems.fatal, 1);
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_string_equal(problems.list[PROBLEMS_MAX - 1].text, "fatal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_environment_outranks_the_file, forget),
        cmocka_unit_test_teardown(all_wrong_settings_are_named_at_once, forget),
        cmocka_unit_test(a_file_that_others_can_read_is_reported),
        cmocka_unit_test(it_starts_only_with_valid_secrets),
        cmocka_unit_test(settings_that_are_held_outlive_a_reload),
        cmocka_unit_test(dev_mode_stays_on_loopback),
        cmocka_unit_test(a_fatal_problem_counts_behind_any_number_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
