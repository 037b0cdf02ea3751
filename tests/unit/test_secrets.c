/* Secret values are found, and recognized again without being stored. */
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

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static bool knows(const struct secrets *secrets, const char *text)
{
    for (size_t i = 0; i < secrets->count; i++)
        if (secrets->value[i].length == strlen(text) &&
            secrets_is(secrets, &secrets->value[i], text))
            return true;
    return false;
}

static char *add(struct secrets *secrets, char *const environment[], char *const argv[],
                 char *const patterns[])
{
    secrets_init(secrets);
    return secrets_add_all(secrets, environment, argv, patterns);
}

/* Each entry alone: is the text recognized? */
static void variables_are_chosen_by_name_in_any_case(void **state)
{
    static const char *const secret[] = {"API_TOKEN",       "db_password",
                                         "MY_SECRET",       "SSH_KEY",
                                         "NIXFLEET_TOKEN",  "X_PASSWD",
                                         "PGPASSWORD",      "PASSWORD",
                                         "TOKEN",           "SECRET",
                                         "APIKEY",          "MY_APIKEYS",
                                         "SSHPASS",         "SMTP_PASS",
                                         "DB_PASS",         "MYSQL_PWD",
                                         "GPG_PASSPHRASE",  "ATTIC_CREDENTIAL",
                                         "CREDENTIALS",     "SESSION_SECRETS",
                                         "GH_PAT",          "PAT",
                                         "SECRET_KEY_BASE", "GITHUBTOKEN",
                                         "MY_PIN",          "AWS_SECRET_ACCESS_KEY"};
    static const char *const plain[] = {"PATH",       "PWD",           "OLDPWD",      "KEYBOARD",
                                        "TOKENIZERS", "SSH_AUTH_SOCK", "GIT_ASKPASS", "PATTERN",
                                        "MY_PINS",    "COMPAT"};
    char *patterns[] = {"*_pin", NULL};
    struct secrets secrets;
    char entry[64];
    char *environment[] = {entry, NULL};

    (void)state;
    for (size_t i = 0; i < LENGTH(secret); i++) {
        snprintf(entry, sizeof entry, "%s=value-17", secret[i]);
        assert_null(add(&secrets, environment, NULL, patterns));
        if (!knows(&secrets, "value-17"))
            fail_msg("%s", secret[i]);
        secrets_free(&secrets);
    }
    for (size_t i = 0; i < LENGTH(plain); i++) {
        snprintf(entry, sizeof entry, "%s=value-17", plain[i]);
        assert_null(add(&secrets, environment, NULL, patterns));
        if (knows(&secrets, "value-17"))
            fail_msg("%s", plain[i]);
        secrets_free(&secrets);
    }
}

static void values_inside_values_and_words_are_found(void **state)
{
    char *environment[] = {"DATABASE_URL=postgres://app:hunter2%40home@db:5432/app",
                           "HTTPS_PROXY=http://user:proxy-pass-1@proxy:8080",
                           "REPO=https://ghp_0123456789abcdefghij@github.com/x/y git@example.org:x",
                           ("NIX_CONFIG=cores = 4\nextra-access-tokens = github.com=ghp_first "
                            "gitlab.com=PAT:glpat-2nd\n"),
                           NULL};
    char *argv[] = {"env",
                    "X_KEY=in-the-words",
                    "--api-key=an-option-1",
                    "--db-password",
                    "two-words-1",
                    "--auth-token",
                    "--verbose-1",
                    "-H",
                    "Authorization: Bearer in-a-header",
                    "cmd",
                    NULL};
    static const char *const wanted[] = {
        "hunter2%40home", "hunter2@home",  "proxy-pass-1", "ghp_0123456789abcdefghij",
        "ghp_first",      "PAT:glpat-2nd", "glpat-2nd",    "in-the-words",
        "an-option-1",    "two-words-1",   "in-a-header"};
    static const char *const others[] = {"git@example.org", "example", "github.com", "postgres",
                                         "--verbose-1"};
    struct secrets secrets;

    (void)state;
    assert_null(add(&secrets, environment, argv, NULL));
    for (size_t i = 0; i < LENGTH(wanted); i++)
        if (!knows(&secrets, wanted[i]))
            fail_msg("%s", wanted[i]);
    for (size_t i = 0; i < LENGTH(others); i++)
        assert_false(knows(&secrets, others[i]));
    secrets_free(&secrets);
}

static void a_value_is_known_in_each_usual_form(void **state)
{
    static const struct {
        const char *value, *form;
    } rows[] = {
        {"pa\"ss\\word", "pa\\\"ss\\\\word"},               /* JSON */
        {"p\xc3\xa4ssw\xc3\xb6rd", "p\\u00e4ssw\\u00f6rd"}, /* the same in ASCII */
        {"key-\xf0\x9f\x94\x91-1", "key-\\ud83d\\udd11-1"}, /* beyond U+FFFF */
        {"a/b/c/d", "a\\/b\\/c\\/d"},                       /* PHP */
        {"p@ss w/rd&1", "p%40ss%20w%2Frd%261"},             /* a URL */
        {"p@ss w/rd&1", "p%40ss%20w%2frd%261"},             /* in lower case */
        {"p@ss w/rd&1", "p%40ss+w%2Frd%261"},               /* a form */
        {"p@ss w/rd&1", "p%40ss%20w/rd%261"},               /* Python's quote */
        {"pass!(1)", "pass!(1)"},                           /* encodeURIComponent */
        {"hunter2-secret", "aHVudGVyMi1zZWNyZXQ="},         /* base64 */
        {"hunter2-secret", "odW50ZXIyLXNlY3Jld"},       /* behind "x:", as in Basic authorization */
        {"hunter2-secret", "h1bnRlcjItc2VjcmV0"},       /* behind "x:y:" */
        {"pass$word 1", "pass\\$word\\ 1"},             /* printf %q */
        {"pa$s`wo\"rd\\1", "pa\\$s\\`wo\\\"rd\\\\1"},   /* declare -p */
        {"it's \"a\\ secret", "it\\'s \"a\\\\ secret"}, /* Python's repr, fish, $'...' */
        {"it's a secret", "it'\\''s a secret"},         /* bash -x */
        {"it's a secret", "it'\"'\"'s a secret"},       /* Python's shlex */
        {"hunter2\tsecret", "hunter2 secret"},          /* as a terminal shows a tab */
        {"hunter2secret\t", "hunter2secret"},
        {"p\xe4ssw\xf6rd1", "p\xef\xbf\xbdssw\xef\xbf\xbdrd1"}, /* Latin-1 */
        {"first line\nsecond line", "second line"},
        {"{\n\t\"private\": \"the-key-itself\",\n}", "the-key-itself"},
        {"{\"key\":\"-----BEGIN-----\\nMIIEvQIBADAN\\nBgkqhkiG9w0B\\n\"}", "MIIEvQIBADAN"},
        {"{\"key\":\"-----BEGIN-----\\nMIIEvQIBADAN\\nBgkqhkiG9w0B\\n\"}", "BgkqhkiG9w0B"},
    };
    struct secrets secrets;

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        secrets_init(&secrets);
        assert_true(secrets_add(&secrets, rows[i].value));
        if (rows[i].form && !knows(&secrets, rows[i].form))
            fail_msg("row %zu: %s", i, rows[i].form);
        secrets_free(&secrets);
    }
}

static void a_long_value_is_known_by_its_pieces(void **state)
{
    static char value[20001];
    struct secrets secrets;
    char piece[SECRET_FORM_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof value - 1; i++)
        value[i] = (char)('!' + i * i % 89);
    secrets_init(&secrets);
    assert_true(secrets_add(&secrets, value));
    for (size_t at = 0; at + SECRET_FORM_MAX <= sizeof value - 1; at += SECRET_FORM_MAX) {
        snprintf(piece, sizeof piece, "%.*s", SECRET_FORM_MAX, value + at);
        assert_true(knows(&secrets, piece));
    }
    snprintf(piece, sizeof piece, "%s", value + sizeof value - 1 - SECRET_FORM_MAX);
    assert_true(knows(&secrets, piece));
    secrets_free(&secrets);
}

static void ordinary_words_are_not_secrets(void **state)
{
    static const char *const values[] = {
        "",       "12345",   "        ", "------",     "======\n======",    "abababab",
        "switch", "Restart", "RESTART",  "/nix/store", "~/.ssh/id_ed25519", "./secrets/key.age",
        "\t\n \t"};
    static const char *const secret[] = {"hunter2", "123456",    "correcthorse",
                                         "sWitch",  "/AbC+dEfg", "secretline"};
    struct secrets secrets;

    (void)state;
    secrets_init(&secrets);
    for (size_t i = 0; i < LENGTH(values); i++)
        if (secrets_add(&secrets, values[i]))
            fail_msg("%s", values[i]);
    assert_int_equal(secrets.count, 0);
    for (size_t i = 0; i < LENGTH(secret); i++)
        assert_true(secrets_add(&secrets, secret[i]) && knows(&secrets, secret[i]));
    assert_false(secrets_add(&secrets, "{\n  \"type\": \"sa\",\n        \n------\nrestart\n}"));
    /* accepted, because it is certainly a token */
    assert_true(secrets_add_any(&secrets, "switch"));
    secrets_free(&secrets);
}

static void values_that_are_not_known_are_named(void **state)
{
    char *environment[] = {
        "A_KEY=switch", "B_TOKEN=long-enough", "C_TOKEN=", "D_KEY=true", "E_PASSWORD=12", NULL};
    struct secrets secrets;
    char *names;

    (void)state;
    names = add(&secrets, environment, NULL, NULL);
    assert_string_equal(names, "A_KEY, E_PASSWORD");
    free(names);
    secrets_free(&secrets);
}

static void hundreds_of_values_are_all_known(void **state)
{
    enum { COUNT = 600 };
    static char text[COUNT][40];
    char *environment[COUNT + 1];
    struct secrets secrets;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof text[i], "V%d_TOKEN=value-%d-%d", i, i, i * 7919);
        environment[i] = text[i];
    }
    environment[COUNT] = NULL;
    assert_null(add(&secrets, environment, NULL, NULL));
    for (int i = 0; i < COUNT; i++)
        assert_true(knows(&secrets, strchr(text[i], '=') + 1));
    secrets_free(&secrets);
}

static void the_text_form_gives_the_same_set_and_no_value(void **state)
{
    struct secrets secrets, again;
    char *text;

    (void)state;
    secrets_init(&secrets);
    secrets_add(&secrets, "hunter2-hunter2");
    secrets_add(&secrets, "second\tvalue");
    text = secrets_format(&secrets);
    assert_non_null(text);
    assert_null(strstr(text, "hunter2"));
    assert_int_equal(secrets_parse(&again, text), 0);
    assert_int_equal(again.count, secrets.count);
    assert_true(again.blanks && again.key == secrets.key);
    assert_true(knows(&again, "hunter2-hunter2") && knows(&again, "second value"));
    assert_false(knows(&again, "hunter2-hunter3"));
    free(text);
    secrets_free(&secrets);
    secrets_free(&again);
}

static void two_sets_have_two_salts(void **state)
{
    struct secrets one, other;

    (void)state;
    secrets_init(&one);
    secrets_init(&other);
    secrets_add(&one, "the same value");
    secrets_add(&other, "the same value");
    assert_memory_not_equal(one.value[0].digest, other.value[0].digest, SECRETS_DIGEST_SIZE);
    secrets_free(&one);
    secrets_free(&other);
}

static void a_damaged_text_is_refused_wherever_it_is_cut(void **state)
{
    struct secrets secrets, again;
    char *text;
    size_t length, head;

    (void)state;
    secrets_init(&secrets);
    head = strlen(text = secrets_format(&secrets));
    free(text);
    secrets_add(&secrets, "hunter2-hunter2");
    text = secrets_format(&secrets);
    length = strlen(text);
    for (size_t cut = 1; cut < length; cut++) {
        char saved = text[cut];

        text[cut] = '\0';
        errno = 0;
        if (cut == head || strchr(",", saved))
            assert_int_equal(secrets_parse(&again, text), 0); /* a valid but smaller set */
        else if (secrets_parse(&again, text) == 0 || (errno != EINVAL && errno != EBADMSG))
            fail_msg("cut at %zu", cut);
        text[cut] = saved;
        secrets_free(&again);
    }
    assert_int_equal(secrets_parse(&again, "0123456789abcdef0123456789abcdef,9:a:b"), -1);
    assert_int_equal(errno, EBADMSG); /* written by an older version */
    assert_int_equal(secrets_parse(&again, ""), 0);
    assert_int_equal(again.count, 0);
    free(text);
    secrets_free(&secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_chosen_by_name_in_any_case),
        cmocka_unit_test(values_inside_values_and_words_are_found),
        cmocka_unit_test(a_value_is_known_in_each_usual_form),
        cmocka_unit_test(a_long_value_is_known_by_its_pieces),
        cmocka_unit_test(ordinary_words_are_not_secrets),
        cmocka_unit_test(values_that_are_not_known_are_named),
        cmocka_unit_test(hundreds_of_values_are_all_known),
        cmocka_unit_test(the_text_form_gives_the_same_set_and_no_value),
        cmocka_unit_test(two_sets_have_two_salts),
        cmocka_unit_test(a_damaged_text_is_refused_wherever_it_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
