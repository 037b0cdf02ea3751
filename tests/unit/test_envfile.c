/* EnvironmentFile syntax as systemd reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/envfile.h"

struct seen {
    char text[512]; /* each variable as NAME<value> */
    int stop_at;    /* the call that ends the parse; 0: none */
    int calls;
};

static int note(void *context, const char *name, const char *value)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);

    snprintf(seen->text + length, sizeof seen->text - length, "%s<%s>", name, value);
    return ++seen->calls == seen->stop_at ? 7 : 0;
}

static void assert_reads(const char *text, const char *wanted)
{
    struct seen seen = {0};
    size_t wrong;

    assert_int_equal(envfile_parse(text, strlen(text), note, &seen, &wrong), 0);
    assert_string_equal(seen.text, wanted);
}

static void plain_lines_comments_and_blank_lines(void **state)
{
    (void)state;
    assert_reads("A=1\n# B=2\n; C=3\n\n  D=4\nE=", "A<1>D<4>E<>");
    assert_reads("A=1", "A<1>");
    assert_reads("", "");
}

static void quotes_hold_blanks_and_hashes(void **state)
{
    (void)state;
    assert_reads("A='x # y'\nB=\"x ; y\"\nC=x#y\n", "A<x # y>B<x ; y>C<x#y>");
    assert_reads("A=\"a\nb\"\nB=1\n", "A<a\nb>B<1>");
    assert_reads("A=a'b'\"c\"d\n", "A<abcd>");
}

static void blanks_around_a_value_go_and_those_in_it_stay(void **state)
{
    (void)state;
    assert_reads("A=  x y \t\nB='z '  \nC = 1\n", "A<x y>B<z >C<1>");
}

static void backslashes(void **state)
{
    (void)state;
    assert_reads("A=a\\\nb\nB=\\x\\\\\n", "A<ab>B<x\\>");
    assert_reads("A=\"\\\"\\$\\x\"\nB='\\n'\n", "A<\"$\\x>B<\\n>");
    assert_reads("A=x\\", "A<x>");
}

static void carriage_returns_of_other_systems_are_dropped(void **state)
{
    (void)state;
    assert_reads("A=1\r\nB='2'\r\nC=a\\\r\nb\r\n", "A<1>B<2>C<ab>");
}

static void a_line_that_is_not_an_assignment_is_skipped(void **state)
{
    (void)state;
    assert_reads("export A=1\n1B=2\nC-D=3\n=4\nE\nF=5\n", "F<5>");
    assert_reads("A='never closed\nB=1", "A<never closed\nB=1>");
}

static void a_name_of_any_length_does_no_harm(void **state)
{
    static char text[5000];

    (void)state;
    memset(text, 'N', sizeof text - 1);
    strcpy(text + sizeof text - 20, "=1\nB=2\n");
    assert_reads(text, "B<2>");
}

static void a_nul_byte_ends_nothing(void **state)
{
    struct seen seen = {0};
    size_t wrong;

    (void)state;
    assert_int_equal(envfile_parse("A=x\0y\nB=1\n", 10, note, &seen, &wrong), 0);
    assert_string_equal(seen.text, "A<xy>B<1>");
}

static void the_receiver_can_end_it(void **state)
{
    struct seen seen = {.stop_at = 2};
    size_t wrong;

    (void)state;
    assert_int_equal(envfile_parse("A=1\nB=2\nC=3\n", 12, note, &seen, &wrong), 7);
    assert_string_equal(seen.text, "A<1>B<2>");
}

static void the_first_line_that_is_skipped_is_told(void **state)
{
    static const struct {
        const char *text;
        size_t line;
    } cases[] = {{"", 0},
                 {"A=1\n\n  # x\n;y\n\r\n \t", 0},
                 {"A=1\nB\nC\n", 2},
                 {"A=\"1\n2\"\nexport B=3", 3},
                 {"A=1 \\\n2\n=3", 3},
                 {"9A=1", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        size_t wrong = 99;

        assert_int_equal(envfile_parse(cases[i].text, strlen(cases[i].text), note, &seen, &wrong),
                         0);
        assert_int_equal(wrong, cases[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_comments_and_blank_lines),
        cmocka_unit_test(quotes_hold_blanks_and_hashes),
        cmocka_unit_test(blanks_around_a_value_go_and_those_in_it_stay),
        cmocka_unit_test(backslashes),
        cmocka_unit_test(carriage_returns_of_other_systems_are_dropped),
        cmocka_unit_test(a_line_that_is_not_an_assignment_is_skipped),
        cmocka_unit_test(a_name_of_any_length_does_no_harm),
        cmocka_unit_test(a_nul_byte_ends_nothing),
        cmocka_unit_test(the_receiver_can_end_it),
        cmocka_unit_test(the_first_line_that_is_skipped_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
