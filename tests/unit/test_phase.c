/* From lines to phase and progress, for cases that the end-to-end logs do not have: live states,
 * exit statuses, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../parse/phase.h"

#define HASH "abcdfghijklmnpqrsvwxyz0123456789"

static struct phase *phase;
static int64_t line_number;

static int begin(void **state)
{
    (void)state;
    line_number = 0;
    phase = phase_new("switch");
    return phase == NULL;
}

static int end(void **state)
{
    (void)state;
    phase_free(phase);
    return 0;
}

static void say(const char *text)
{
    phase_line(phase, text, strlen(text), line_number++, false);
}

static void redraw(const char *text)
{
    phase_line(phase, text, strlen(text), line_number, true);
}

static void a_bar_tells_built_running_and_total(void **state)
{
    (void)state;
    redraw("[2/3/11 built (1 failed), 0/4 copied (0.0/1.0 MiB)] building pkg-1: last line");
    const struct progress *progress = &phase_view(phase)->progress;
    assert_int_equal(progress->building, 2);
    assert_int_equal(progress->built, 3);
    assert_int_equal(progress->to_build, 11);
    assert_int_equal(progress->failed, 1);
    assert_int_equal(progress->to_fetch, 4);
    assert_string_equal(progress->current, "pkg-1");
    assert_int_equal(phase_view(phase)->phase, PHASE_BUILDING);
}

static void a_derivation_that_the_bar_names_before_the_record_is_one_derivation(void **state)
{
    (void)state;
    static const char path[] = "/nix/store/0c4c8wdk5zvcrrn5xnk6j6s1k9p9a3bx-beta-2.0.drv";
    redraw("[1/0/2 built] building beta-2.0");
    phase_record_started(phase, path, "", true);
    assert_int_equal(phase_derivation_count(phase), 1);
    assert_int_equal(phase_derivation_at(phase, path), 0);
    /* a derivation with the same name and another path is another derivation */
    phase_record_started(phase, "/nix/store/1c4c8wdk5zvcrrn5xnk6j6s1k9p9a3bx-beta-2.0.drv", "",
                         true);
    assert_int_equal(phase_derivation_count(phase), 2);
}

static void a_total_that_shrinks_or_restarts_never_jumps_back(void **state)
{
    (void)state;
    static const char *const bars[] = {"[1/0/11 built] building a", "[1/4/9 built] building b",
                                       "[9 built]", "[1/0/3 built] building c", "[3 built]"};
    int64_t built = 0, total = 0;
    for (size_t at = 0; at < sizeof bars / sizeof bars[0]; at++) {
        redraw(bars[at]);
        const struct progress *progress = &phase_view(phase)->progress;
        assert_true(progress->built >= built && progress->to_build >= total);
        assert_true(progress->built <= progress->to_build);
        built = progress->built;
        total = progress->to_build;
    }
    assert_int_equal(built, 12);
}

static void a_status_cut_by_the_window_is_not_misread(void **state)
{
    (void)state;
    redraw("[1/2/11 built, 1/2/3");
    assert_int_equal(phase_view(phase)->progress.to_build, 11);
    assert_int_equal(phase_view(phase)->progress.to_fetch, -1);
    redraw("[1/2/1");
    assert_int_equal(phase_view(phase)->progress.to_build, 11);
}

static void a_call_that_ends_well_has_built_all_that_its_last_bar_expected(void **state)
{
    (void)state;
    redraw("[1/10/11 built] building a");
    phase_end(phase, false, 0);
    assert_int_equal(phase_view(phase)->progress.built, 11);
    assert_int_equal(phase_view(phase)->progress.to_build, 11);
}

static void builds_that_were_fetched_instead_are_not_counted_at_the_end(void **state)
{
    (void)state;
    redraw("[0/1 built, 1/0/1 copied (0.0/2.0 MiB), 0.0/1.5 MiB DL] fetching a from https://c");
    assert_int_equal(phase_view(phase)->phase, PHASE_FETCHING);
    assert_string_equal(phase_view(phase)->progress.current, "a");
    phase_end(phase, false, 0);
    assert_int_equal(phase_view(phase)->progress.to_build, 0);
    assert_int_equal(phase_view(phase)->progress.fetched, 1);
    assert_int_equal(phase_view(phase)->progress.fetched_bytes, 1572864);
}

static void a_failed_call_keeps_what_it_had_not_built(void **state)
{
    (void)state;
    redraw("[1/4/11 built] building a");
    redraw("[4/9 built (1 failed)]");
    phase_end(phase, false, 1);
    assert_int_equal(phase_view(phase)->progress.built, 4);
    assert_int_equal(phase_view(phase)->progress.to_build, 11);
    assert_int_equal(phase_view(phase)->progress.failed, 1);
}

static void a_bar_in_any_unit_tells_the_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bar;
        int64_t done, total;
    } bars[] = {{"[512.0 KiB/2.0 MiB DL]", 524288, 2097152},
                {"[1.0/2.0 MiB DL]", 1048576, 2097152},
                {"[1.5/2.0 GiB DL]", 1610612736, 2147483648},
                {"[2.0 GiB DL]", 2147483648, 2147483648}};
    for (size_t at = 0; at < sizeof bars / sizeof bars[0]; at++) {
        redraw(bars[at].bar);
        assert_int_equal(phase_view(phase)->progress.fetched_bytes, bars[at].done);
        assert_int_equal(phase_view(phase)->progress.to_fetch_bytes, bars[at].total);
    }
}

static void looking_for_paths_and_sources_is_no_download(void **state)
{
    (void)state;
    redraw("[0/1 built] querying info about missing paths");
    redraw("[0/3 built] ");
    assert_int_equal(phase_view(phase)->phase, PHASE_NONE);
    redraw("[0/3 built] copying '/etc/nixos' to the store");
    assert_int_equal(phase_view(phase)->phase, PHASE_EVALUATING);
    redraw("[0/3 built] fetching github input 'github:NixOS/nixpkgs'");
    assert_int_equal(phase_view(phase)->phase, PHASE_EVALUATING);
    redraw("[1/0/3 built, 1/0/2 copied] copying path '/nix/store/" HASH "-x-1.0' from 'https://c'");
    assert_int_equal(phase_view(phase)->phase, PHASE_FETCHING);
    assert_string_equal(phase_view(phase)->progress.current, "x-1.0");
}

static void the_last_build_is_not_current_during_activation(void **state)
{
    (void)state;
    redraw("[1/0/1 built] building a");
    say("activating the configuration...");
    assert_string_equal(phase_view(phase)->progress.current, "");
}

static void exit_status_4_after_a_switch_is_active_with_failed_units(void **state)
{
    (void)state;
    say("activating the configuration...");
    say("warning: the following units failed: a.service, b.mount");
    phase_end(phase, false, 4);
    const struct phase_view *view = phase_view(phase);
    assert_int_equal(view->outcome, OUTCOME_UNITS_FAILED);
    assert_int_equal(view->failed_units.count, 2);
    assert_string_equal(view->failed_units.name[1], "b.mount");
}

static void the_exit_status_beats_the_text(void **state)
{
    (void)state;
    say("Already up to date.");
    phase_end(phase, true, 9);
    assert_int_equal(phase_view(phase)->outcome, OUTCOME_FAILURE);
    assert_int_equal(phase_view(phase)->phase, PHASE_FAILED);
}

static void the_cause_is_the_error_that_matters_with_its_line(void **state)
{
    (void)state;
    say("building '/nix/store/" HASH "-a.drv'...");
    say("error: builder for '/nix/store/" HASH "-a.drv' failed with exit code 2;");
    say("error: 1 dependencies of derivation '/nix/store/" HASH "-b.drv' failed to build");
    phase_end(phase, false, 1);
    const struct phase_view *view = phase_view(phase);
    assert_int_equal(view->error_line, 1);
    assert_non_null(strstr(view->error, "-a.drv' failed with exit code 2"));
    assert_int_equal(view->failed.count, 1);
    assert_string_equal(view->failed.name[0], "a");
}

/* nix 2.34 counts a derivation that ends twice until the next one starts. */
static void a_derivation_that_is_counted_twice_for_a_moment_is_no_other_one(void **state)
{
    (void)state;
    static const char *const bars[] = {"[0/9 built] ",
                                       "[1/0/9 built] building a",
                                       "[1/10 built] ",
                                       "[1/1/9 built] building b",
                                       "[1/4/10 built] building c",
                                       "[5/10 built] ",
                                       "[2/5/9 built] building d",
                                       "[1/7/10 built] building e",
                                       "[8/10 built] ",
                                       "[1/8/9 built] building f"};
    for (size_t at = 0; at < sizeof bars / sizeof bars[0]; at++) {
        redraw(bars[at]);
        assert_int_equal(phase_view(phase)->progress.to_build, 9);
    }
    phase_end(phase, false, 0);
    assert_int_equal(phase_view(phase)->progress.built, 9);
    assert_int_equal(phase_view(phase)->progress.to_build, 9);
}

static void a_total_that_really_grows_counts(void **state)
{
    (void)state;
    redraw("[1/0/1 built] building a");
    redraw("[1/1/2 built] building b");
    assert_int_equal(phase_view(phase)->progress.to_build, 2);
    redraw("[1/1/12 built] building b");
    assert_int_equal(phase_view(phase)->progress.to_build, 12);
}

static void a_successful_run_has_no_error_that_it_survived(void **state)
{
    (void)state;
    say("error: unable to download 'https://c': Couldn't resolve host name");
    assert_int_equal(phase_view(phase)->error_line, 0);
    say("activating the configuration...");
    assert_string_equal(phase_view(phase)->error, "");
    phase_end(phase, false, 0);
    assert_string_equal(phase_view(phase)->error, "");
    assert_int_equal(phase_view(phase)->error_line, -1);
    assert_int_equal(phase_view(phase)->errors.count, 1);
}

static void causes_come_before_consequences_and_none_comes_twice(void **state)
{
    (void)state;
    say("activating the configuration...");
    say("chown: invalid user: 'x'");
    say("Activation script snippet 'users' failed (1)");
    say("warning: error(s) occurred while switching to the new configuration");
    say("warning: error(s) occurred while switching to the new configuration");
    phase_end(phase, false, 1);
    const struct phase_view *view = phase_view(phase);
    assert_string_equal(view->error, "chown: invalid user: 'x'");
    assert_int_equal(view->error_line, 1);
    assert_int_equal(view->errors.count, 3);
    assert_int_equal(view->errors.line[2], 3);
}

static void more_hosts_and_errors_than_are_kept_do_no_harm(void **state)
{
    (void)state;
    char text[128];
    for (int at = 0; at < 600; at++) {
        snprintf(text, sizeof text, "node-%d | Evaluating node-%d", at % 300, at % 300);
        say(text);
        snprintf(text, sizeof text, "error: problem %d", at);
        say(text);
    }
    phase_end(phase, false, 1);
    assert_true(phase_view(phase)->host_count <= PHASE_HOSTS_MAX);
    assert_int_equal(phase_view(phase)->errors.count, PHASE_ERRORS_MAX);
}

static void a_line_of_any_length_is_bounded(void **state)
{
    (void)state;
    static char text[100000] = "error: ";
    memset(text + 7, 'x', sizeof text - 7);
    phase_line(phase, text, sizeof text, 0, false);
    assert_int_equal(strlen(phase_view(phase)->error), PHASE_TEXT_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bar_tells_built_running_and_total, begin, end),
        cmocka_unit_test_setup_teardown(
            a_derivation_that_the_bar_names_before_the_record_is_one_derivation, begin, end),
        cmocka_unit_test_setup_teardown(a_total_that_shrinks_or_restarts_never_jumps_back, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_status_cut_by_the_window_is_not_misread, begin, end),
        cmocka_unit_test_setup_teardown(
            a_call_that_ends_well_has_built_all_that_its_last_bar_expected, begin, end),
        cmocka_unit_test_setup_teardown(builds_that_were_fetched_instead_are_not_counted_at_the_end,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_failed_call_keeps_what_it_had_not_built, begin, end),
        cmocka_unit_test_setup_teardown(a_bar_in_any_unit_tells_the_bytes, begin, end),
        cmocka_unit_test_setup_teardown(looking_for_paths_and_sources_is_no_download, begin, end),
        cmocka_unit_test_setup_teardown(the_last_build_is_not_current_during_activation, begin,
                                        end),
        cmocka_unit_test_setup_teardown(exit_status_4_after_a_switch_is_active_with_failed_units,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_exit_status_beats_the_text, begin, end),
        cmocka_unit_test_setup_teardown(the_cause_is_the_error_that_matters_with_its_line, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            a_derivation_that_is_counted_twice_for_a_moment_is_no_other_one, begin, end),
        cmocka_unit_test_setup_teardown(a_total_that_really_grows_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_successful_run_has_no_error_that_it_survived, begin, end),
        cmocka_unit_test_setup_teardown(causes_come_before_consequences_and_none_comes_twice, begin,
                                        end),
        cmocka_unit_test_setup_teardown(more_hosts_and_errors_than_are_kept_do_no_harm, begin, end),
        cmocka_unit_test_setup_teardown(a_line_of_any_length_is_bounded, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
