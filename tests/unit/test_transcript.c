/* The whole pipeline: the same lines and the same phase, however the bytes are divided. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../parse/transcript.h"

#define HASH "abcdfghijklmnpqrsvwxyz0123456789"
static const char sample[] =
    "this derivation will be built:\r\n  /nix/store/" HASH "-a.drv\r\n"
    "@nix {\"action\":\"msg\",\"level\":3,\"msg\":\"building '/nix/store/" HASH "-a.drv'...\"}\r\n"
    "10%\r20%\r\x1b[31mred\x1b[0m\r\n/nix/store/" HASH "-a\r\n";

static void collect(void *context, uint64_t number, const char *text, size_t length)
{
    char *all = context;
    assert_int_equal(number, (uint64_t)all[0]);
    all[0]++;
    strncat(all + 1, text, length);
    strcat(all + 1, "\n");
}

static void run(size_t step, char all[4096])
{
    struct transcript *transcript =
        transcript_new(24, 120, NULL, &(struct transcript_sink){all, collect, NULL, false});
    assert_non_null(transcript);
    memset(all, 0, 4096);
    for (size_t at = 0; at < sizeof sample - 1; at += step)
        transcript_feed(transcript, sample + at,
                        sizeof sample - 1 - at < step ? sizeof sample - 1 - at : step);
    transcript_end_unknown(transcript);
    const struct phase_view *view = transcript_phase(transcript);
    assert_int_equal(view->phase, PHASE_DONE);
    assert_int_equal(view->progress.built, 1);
    assert_int_equal(transcript_final_count(transcript), transcript_line_count(transcript));
    assert_int_equal(transcript_final_count(transcript), 5);
    transcript_free(transcript);
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    char whole[4096], cut[4096];
    run(sizeof sample, whole);
    assert_non_null(strstr(whole + 1, "building '/nix/store/"));
    for (size_t step = 1; step < 40; step++) {
        run(step, cut);
        assert_string_equal(whole + 1, cut + 1);
    }
}

static void what_is_on_the_screen_can_be_read_before_it_is_final(void **state)
{
    (void)state;
    struct transcript *transcript = transcript_new(24, 80, NULL, NULL);
    assert_non_null(transcript);
    transcript_feed(transcript, "one\r\ntwo", 8);
    size_t length = 0;
    const char *text = transcript_live_line(transcript, 1, &length);
    assert_non_null(text);
    assert_int_equal(length, 3);
    assert_memory_equal(text, "two", 3);
    assert_int_equal(transcript_take_changed(transcript), 0);
    assert_int_equal(transcript_take_changed(transcript), transcript_line_count(transcript));
    transcript_free(transcript);
}

static void feed(struct transcript *transcript, const char *text)
{
    transcript_feed(transcript, text, strlen(text));
}

/* nix draws its bar again only after a change, so a bar may stay the same for many minutes. */
static void a_bar_that_does_not_move_is_read(void **state)
{
    (void)state;
    struct transcript *transcript = transcript_new(24, 120, NULL, NULL);
    assert_non_null(transcript);
    feed(transcript, "these 40 derivations will be built:\r\n  /nix/store/" HASH "-a.drv\r\n"
                     "\r\x1b[0m\x1b[K[\x1b[34;1m1\x1b[0m/\x1b[32;1m12\x1b[0m/40 bui");
    assert_int_equal(transcript_phase(transcript)->progress.built, 0); /* not complete yet */
    feed(transcript, "lt, 118 copied (1803.4 MiB)] building \x1b[1mfoo\x1b[0m (buildPhase)");
    for (int i = 0; i < 3; i++) {
        const struct phase_view *view = transcript_phase(transcript);
        assert_int_equal(view->phase, PHASE_BUILDING);
        assert_int_equal(view->progress.built, 12);
        assert_int_equal(view->progress.to_build, 40);
        assert_string_equal(view->progress.current, "foo");
    }
    feed(transcript, "\r\x1b[K[13/40 built] building \x1b[1mbar\x1b[0m");
    assert_int_equal(transcript_phase(transcript)->progress.built, 13);
    transcript_free(transcript);
}

static void a_line_that_was_reported_early_still_counts_when_it_ends(void **state)
{
    (void)state;
    struct transcript *transcript = transcript_new(24, 120, NULL, NULL);
    assert_non_null(transcript);
    feed(transcript, "error: builder for '/nix/store/" HASH "-a.drv' failed with exit code 1;");
    assert_int_equal(transcript_phase(transcript)->failed.count, 0);
    feed(transcript, "\r\nmore\r\n");
    assert_int_equal(transcript_phase(transcript)->failed.count, 1);
    transcript_free(transcript);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(what_is_on_the_screen_can_be_read_before_it_is_final),
        cmocka_unit_test(a_bar_that_does_not_move_is_read),
        cmocka_unit_test(a_line_that_was_reported_early_still_counts_when_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
