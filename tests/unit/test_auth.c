/* The parts of signing in: passwords, one-time codes, tokens, cookies, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dashboard/auth/secret.h"
#include "dashboard/server/ratelimit.h"

static void a_password_opens_its_hash_and_no_other_does(void **state)
{
    char *hash = password_hash("correct horse");

    (void)state;
    assert_non_null(hash);
    assert_true(password_hash_valid(hash));
    assert_true(password_check("correct horse", hash));
    assert_false(password_check("correct horsf", hash));
    assert_false(password_check("", hash));
    assert_false(password_check("x", "*0"));
    free(hash);
    assert_null(password_hash(""));
}

/* RFC 6238, appendix B: the last six of the eight digits for SHA-1. */
static void a_code_is_good_in_its_step_and_its_neighbours(void **state)
{
    const char *secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    int64_t step = 0;

    (void)state;
    assert_int_equal(totp_check(secret, "287082", 59, &step), 1);
    assert_int_equal(step, 1);
    assert_int_equal(totp_check(secret, "081804", 1111111109, &step), 1);
    assert_int_equal(totp_check(secret, "287082", 89, &step), 1);
    assert_int_equal(step, 1);
    assert_int_equal(totp_check(secret, "287082", 90, &step), 0);
    assert_int_equal(totp_check(secret, "28708", 59, &step), 0);
    assert_int_equal(totp_check("not base32!", "287082", 59, &step), -1);
}

static void a_code_may_have_the_spaces_that_authenticators_show(void **state)
{
    const char *secret = "gezd gnbv gy3t qojq GEZDGNBVGY3TQOJQ====";
    static const char *const good[] = {"287082", "287 082", " 2 8 7 0 8 2 "};
    static const char *const bad[] = {"287 08", "2870822", "287-082", "", "   ", "28708a"};
    int64_t step = 0;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(totp_check(secret, good[i], 59, &step), 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(totp_check(secret, bad[i], 59, &step), 0);
}

static void a_totp_secret_is_base32_of_some_length(void **state)
{
    char made[TOTP_SECRET_SIZE];

    (void)state;
    assert_true(totp_secret_valid("JBSWY3DPEHPK3PXP"));
    assert_true(totp_secret_valid("jbsw y3dp ehpk 3pxp"));
    assert_false(totp_secret_valid("not base32 !!"));
    assert_false(totp_secret_valid("JBSWY3DP"));
    assert_false(totp_secret_valid(""));
    assert_int_equal(totp_secret_make(made), 0);
    assert_true(totp_secret_valid(made));
}

static void a_session_is_stored_under_the_password_and_not_the_secrets(void **state)
{
    char a[TOKEN_HASH_SIZE], b[TOKEN_HASH_SIZE];

    (void)state;
    assert_int_equal(session_key("hash", NULL, "token", a), 0);
    assert_int_equal(session_key("hash", NULL, "token", b), 0);
    assert_string_equal(a, b);
    assert_int_equal(session_key("other", NULL, "token", b), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(session_key("hash", "JBSWY3DPEHPK3PXP", "token", b), 0);
    assert_string_not_equal(a, b);
}

static void a_csrf_token_holds_while_its_secret_is_listed(void **state)
{
    char token[TOKEN_HASH_SIZE];

    (void)state;
    assert_int_equal(csrf_make("old", "session", token), 0);
    assert_int_equal(csrf_check("new,old", "session", token), 1);
    assert_int_equal(csrf_check("old", "session", token), 1);
    assert_int_equal(csrf_check("new,newer", "session", token), 0);
    assert_int_equal(csrf_check("new,old", "another", token), 0);
    assert_int_equal(csrf_check("new,old", "session", NULL), 0);
    assert_int_equal(csrf_check("new,old", "session", ""), 0);
}

static void each_secret_of_a_list_has_its_length(void **state)
{
    char text[2 * SECRET_MAX + 2];

    (void)state;
    assert_true(secrets_valid("0123456789abcdef,0123456789abcdef", 16));
    assert_false(secrets_valid("0123456789abcdef,", 16));
    assert_false(secrets_valid("x,0123456789abcdef", 16));
    assert_false(secrets_valid("", 16));
    memset(text, 'x', sizeof text);
    text[SECRET_MAX] = ',';
    text[2 * SECRET_MAX + 1] = '\0';
    assert_true(secrets_valid(text, 16));
    text[SECRET_MAX] = 'x';
    assert_false(secrets_valid(text, 16));
}

static void tokens_differ_and_hash_as_v1_does(void **state)
{
    char a[TOKEN_SIZE], b[TOKEN_SIZE], hash[TOKEN_HASH_SIZE];

    (void)state;
    assert_int_equal(token_make(a), 0);
    assert_int_equal(token_make(b), 0);
    assert_int_equal(strlen(a), 43);
    assert_string_not_equal(a, b);
    /* RFC 4231, case 2. */
    assert_int_equal(token_hash("Jefe", "what do ya want for nothing?", hash), 0);
    assert_string_equal(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(token_hash("", a, hash), -1);
}

static void a_cookie_holds_until_it_ends_or_its_secret_goes(void **state)
{
    char cookie[SESSION_COOKIE_SIZE], token[TOKEN_SIZE], got[TOKEN_SIZE];
    int64_t end = 0;

    (void)state;
    assert_int_equal(token_make(token), 0);
    assert_int_equal(cookie_sign("new,old", token, 1000, cookie), 0);
    assert_int_equal(cookie_verify("newer,new", cookie, 999, got, &end), 1);
    assert_string_equal(got, token);
    assert_int_equal(end, 1000);
    assert_int_equal(cookie_verify("new", cookie, 1000, got, &end), 0);
    assert_int_equal(cookie_verify("old", cookie, 999, got, &end), 0);
    assert_int_equal(cookie_verify("", cookie, 999, got, &end), 0);
    assert_int_equal(cookie_sign("new", "a\"b", 1000, cookie), -1);
}

static void a_changed_cookie_is_refused_whichever_byte_changed(void **state)
{
    char cookie[SESSION_COOKIE_SIZE], got[TOKEN_SIZE];
    int64_t end = 0;

    (void)state;
    assert_int_equal(cookie_sign("s", "token", 1000, cookie), 0);
    for (size_t i = 0; cookie[i]; i++) {
        cookie[i] ^= 1;
        assert_int_equal(cookie_verify("s", cookie, 1, got, &end), 0);
        cookie[i] ^= 1;
    }
    assert_int_equal(cookie_verify("s", cookie, 1, got, &end), 1);
}

static void each_session_has_its_own_csrf_token(void **state)
{
    char a[TOKEN_HASH_SIZE], b[TOKEN_HASH_SIZE];

    (void)state;
    assert_int_equal(csrf_make("s,t", "one", a), 0);
    assert_int_equal(csrf_make("s,t", "two", b), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(csrf_make("s", "one", b), 0);
    assert_string_equal(a, b);
}

static void secrets_are_equal_only_when_whole(void **state)
{
    (void)state;
    assert_true(secret_equal("abc", "abc"));
    assert_false(secret_equal("abc", "abcd"));
    assert_false(secret_equal("abc", NULL));
    assert_false(secret_equal(NULL, NULL));
}

static void a_window_lets_so_many_through_and_ends(void **state)
{
    struct ratelimit *limit = ratelimit_new(64);

    (void)state;
    assert_non_null(limit);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ratelimit_take(limit, "::1", "/login", 5, 100 + i), 0);
    assert_int_equal(ratelimit_take(limit, "::1", "/login", 5, 1100), 59000);
    assert_int_equal(ratelimit_take(limit, "::2", "/login", 5, 1100), 0);
    assert_int_equal(ratelimit_take(limit, "::1", "/other", 5, 1100), 0);
    assert_int_equal(ratelimit_take(limit, "::1", "/login", 5, 60100), 0);
    ratelimit_free(limit);
}

static void servers_that_tell_each_other_share_a_window(void **state)
{
    struct ratelimit *one = ratelimit_new(64), *two = ratelimit_new(64);
    struct calls_row rows[4];
    unsigned char key[CALLS_KEY_SIZE];

    (void)state;
    assert_true(one && two);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ratelimit_take(one, "::1", "/poll", 5, 100), 0);
    assert_int_equal(ratelimit_take(one, "::2", "/poll", 5, 100), 0);
    assert_int_equal(ratelimit_claim(one, 200, rows, 1), 1); /* the next call claims the rest */
    assert_int_equal(ratelimit_claim(one, 200, rows + 1, 3), 1);
    assert_int_equal(ratelimit_claim(one, 200, rows + 2, 2), 0);
    assert_int_equal(ratelimit_key("::1", "/poll", key), 0);
    if (memcmp(rows[0].key, key, sizeof key) != 0)
        rows[0] = rows[1];
    assert_memory_equal(rows[0].key, key, sizeof key);
    assert_int_equal(rows[0].added, 3);

    assert_int_equal(ratelimit_take(two, "::1", "/poll", 5, 100), 0);
    assert_int_equal(ratelimit_claim(two, 1000, rows, 4), 1);
    assert_int_equal(ratelimit_take(two, "::1", "/poll", 5, 1000), 0); /* not claimed yet */
    rows[0].calls = 4;
    rows[0].age_ms = 2000;
    ratelimit_learn(two, 1000, rows, 1);
    assert_int_equal(ratelimit_take(two, "::1", "/poll", 5, 1000), 58000);
    assert_int_equal(ratelimit_take(two, "::1", "/poll", 5, 59001),
                     0); /* the window of both servers has ended */
    ratelimit_free(one);
    ratelimit_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_opens_its_hash_and_no_other_does),
        cmocka_unit_test(a_code_is_good_in_its_step_and_its_neighbours),
        cmocka_unit_test(a_code_may_have_the_spaces_that_authenticators_show),
        cmocka_unit_test(a_totp_secret_is_base32_of_some_length),
        cmocka_unit_test(a_session_is_stored_under_the_password_and_not_the_secrets),
        cmocka_unit_test(a_csrf_token_holds_while_its_secret_is_listed),
        cmocka_unit_test(each_secret_of_a_list_has_its_length),
        cmocka_unit_test(tokens_differ_and_hash_as_v1_does),
        cmocka_unit_test(a_cookie_holds_until_it_ends_or_its_secret_goes),
        cmocka_unit_test(a_changed_cookie_is_refused_whichever_byte_changed),
        cmocka_unit_test(each_session_has_its_own_csrf_token),
        cmocka_unit_test(secrets_are_equal_only_when_whole),
        cmocka_unit_test(a_window_lets_so_many_through_and_ends),
        cmocka_unit_test(servers_that_tell_each_other_share_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
