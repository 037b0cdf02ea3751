/* What is sent of a run, and what answers mean, without a network: the test has a log with marks,
 * and acts as the dashboard. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_versions.h"

#include "../../transport/delivery/delivery.h"

struct played {
    char *argv[2];
    struct run_info info;
    struct redactor *redactor;
    struct delivery delivery;
    int log, marks;
    uint64_t size, have;
    char answer[64];
};

static int temporary(void)
{
    char path[] = "/tmp/test-delivery-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* Adds a line, a quarter of a second after the previous one. */
static void line(struct played *played, const char *text)
{
    struct run_mark mark = {.offset = played->size,
                            .wall_ms = 1764028800000 + (int64_t)played->size * 250,
                            .rows = 24,
                            .cols = 80};
    size_t length = strlen(text);

    assert_int_equal(write(played->marks, &mark, sizeof mark), sizeof mark);
    assert_int_equal(write(played->log, text, length), length);
    played->size += length;
}

static int setup(void **state)
{
    struct played *played = calloc(1, sizeof *played);

    played->argv[0] = (char *)"command";
    played->info = (struct run_info){.id = "01900000-0000-7000-8000-000000000001",
                                     .host = "host",
                                     .argv = played->argv,
                                     .rows = 24,
                                     .cols = 80};
    played->redactor = redactor_new("", NULL, NULL, NULL);
    played->log = temporary();
    played->marks = temporary();
    *state = played;
    return 0;
}

static int teardown(void **state)
{
    struct played *played = *state;

    delivery_close(&played->delivery);
    redactor_free(played->redactor);
    close(played->log);
    close(played->marks);
    free(played);
    return 0;
}

static void open_all(struct played *played)
{
    struct run_end end = {.known = true, .bytes = played->size, .log_bytes = played->size};
    struct source source;

    source_open(&source, played->log, played->marks, NULL, played->size, 24, 80, 0);
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){0}),
                     0);
    delivery_output_ends(&played->delivery, &end);
}

/* Builds the next batch from everything that is there. */
static void build(struct played *played)
{
    while (delivery_read(&played->delivery, SIZE_MAX, false))
        ;
    assert_true(delivery_build(&played->delivery));
}

static enum delivery_verdict answer(struct played *played, int status, const char *format,
                                    long long next)
{
    struct client_answer answer = {.status = status, .body = played->answer, .retry_after_ms = -1};

    answer.size = (size_t)snprintf(played->answer, sizeof played->answer, format, next);
    return delivery_take(&played->delivery, &answer);
}

static enum delivery_verdict accept_it(struct played *played)
{
    played->have = played->delivery.sent_end;
    return answer(played, 200, "{\"next\":%lld}", (long long)played->have);
}

static void a_batch_of_many_short_lines_that_each_have_a_time_fits(void **state)
{
    struct played *played = *state;
    enum delivery_verdict verdict = DELIVERY_GO_ON;
    int batches = 0;

    for (int i = 0; i < 60000; i++)
        line(played, "x\n");
    open_all(played);
    while (verdict == DELIVERY_GO_ON) {
        build(played);
        assert_uint_in_range(played->delivery.body.size, 1, DELIVERY_BODY_MAX);
        verdict = accept_it(played);
        assert_uint_in_range(++batches, 1, 100);
    }
    assert_int_equal(verdict, DELIVERY_DONE);
    assert_int_equal(played->have, 60000);
}

static void a_batch_of_lines_that_are_all_escapes_fits(void **state)
{
    struct played *played = *state;
    enum delivery_verdict verdict = DELIVERY_GO_ON;
    static char text[12002];

    for (size_t i = 0; i < sizeof text - 2; i += 6)
        memcpy(text + i, "\"\033[1m\\", 6);
    text[sizeof text - 2] = '\n';
    for (int i = 0; i < 200; i++)
        line(played, text);
    open_all(played);
    while (verdict == DELIVERY_GO_ON) {
        build(played);
        assert_uint_in_range(played->delivery.body.size, 1, DELIVERY_BODY_MAX);
        verdict = accept_it(played);
    }
    assert_int_equal(verdict, DELIVERY_DONE);
}

/* Without pauses, a broken dashboard would get requests as fast as it answers them. */
static void a_dashboard_that_always_goes_back_causes_pauses(void **state)
{
    struct played *played = *state;
    int at_once = 0;

    line(played, "one\n");
    line(played, "two\n");
    open_all(played);
    for (int i = 0; i < 20; i++) {
        build(played);
        at_once += answer(played, 200, "{\"next\":%lld}", i / 10) == DELIVERY_GO_ON;
    }
    assert_uint_in_range(at_once, 1, 5);
    build(played);
    assert_int_equal(accept_it(played), DELIVERY_DONE);
    assert_int_equal(played->have, 2);
}

static void a_conflict_about_lines_that_were_never_sent_is_no_answer(void **state)
{
    struct played *played = *state;

    line(played, "one\n");
    line(played, "two\n");
    open_all(played);
    build(played);
    assert_int_equal(answer(played, 409, "{\"next\":%lld}", 1000000), DELIVERY_RETRY);
    build(played);
    assert_int_equal(played->delivery.sent_from, 0);
    assert_int_equal(accept_it(played), DELIVERY_DONE);
    assert_int_equal(played->have, 2);
}

static bool says(const struct played *played, const char *text)
{
    const struct text *body = &played->delivery.body;

    return memmem(body->bytes, body->size, text, strlen(text)) != NULL;
}

#define STORE "/nix/store/00000000000000000000000000000000-"

static void derivations_are_told_with_their_times_and_again_only_when_they_change(void **state)
{
    struct played *played = *state;

    line(played, "building '" STORE "alpha.drv'...\n");
    line(played, "building '" STORE "alpha.drv'...\n");
    line(played, "a line of alpha\n");
    open_all(played);
    build(played);
    assert_true(says(played, "\"derivations\":[{\"n\":0,\"name\":\"alpha\",\"state\":\"built\","
                             "\"started\":1764028800000,\"line\":2,\"lines\":1}]"));
    assert_int_equal(answer(played, 503, "{}", 0), DELIVERY_RETRY);
    build(played);
    assert_true(says(played, "\"name\":\"alpha\""));
    assert_int_equal(answer(played, 409, "{\"next\":%lld}", 0), DELIVERY_GO_ON);
    build(played);
    assert_true(says(played, "\"name\":\"alpha\""));
    assert_int_equal(accept_it(played), DELIVERY_DONE);
    build(played);
    assert_false(says(played, "\"name\":\"alpha\""));
}

/* Several batches may be needed; the last one has the end. */
static void the_end_is_sent_behind_the_last_derivation(void **state)
{
    struct played *played = *state;
    char text[128];
    int batches = 0, ends = 0;

    line(played, "these 1000 derivations will be built:\n");
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "  /nix/store/%032d-d%d.drv\n", i, i);
        line(played, text);
    }
    open_all(played);
    for (enum delivery_verdict verdict = DELIVERY_GO_ON; verdict == DELIVERY_GO_ON; batches++) {
        build(played);
        ends += says(played, "\"exit\"");
        assert_true(!says(played, "\"exit\"") || says(played, "\"name\":\"d999\""));
        verdict = accept_it(played);
        assert_true(batches < 10);
    }
    assert_int_equal(batches, 4);
    assert_int_equal(ends, 1);
}

/* The dashboard has the bar already, and gets it again. */
static void a_bar_keeps_the_time_of_its_first_state(void **state)
{
    struct played *played = *state;

    line(played, "one\n");
    line(played, "10%");
    open_all(played);
    played->delivery.output_over = false;
    build(played);
    assert_true(says(played, "\"times\":[[1,1764028800000],[1,1764028801000]]"));
    assert_int_equal(accept_it(played), DELIVERY_GO_ON);
    line(played, "\r20%");
    played->delivery.source.limit = played->size;
    build(played);
    assert_true(says(played, "\"text\":\"20%\",\"times\":[[1,1764028801000]]"));
    assert_int_equal(accept_it(played), DELIVERY_GO_ON);
    line(played, "\r30%\nthree\n");
    played->delivery.source.limit = played->size;
    played->delivery.output_over = true;
    build(played);
    assert_true(says(played, "\"times\":[[1,1764028801000],[1,1764028802750]]"));
    assert_int_equal(accept_it(played), DELIVERY_DONE);
}

/* All output was sent, but the log does not have all of it: the disk was full, or the log is
 * /dev/null. */
static void missing_output_is_reported_behind_the_last_delivered_line(void **state)
{
    struct played *played = *state;
    struct run_end end = {.known = true, .bytes = 1000};
    struct source source;

    line(played, "one\n");
    line(played, "two\n\033[?1049hthree");
    end.log_bytes = played->size;
    source_open(&source, played->log, played->marks, NULL, played->size, 24, 80, 0);
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){.lines = 60, .more = 40}),
                     0);
    delivery_output_ends(&played->delivery, &end);
    build(played);
    assert_true(says(played, "\"from\":100,"));
    assert_true(says(played, "\"text\":\"\\n[nixfleet-run: 979 bytes of output were not kept]\""));
    assert_true(says(played, "\"line_count\":102,"));
    assert_int_equal(accept_it(played), DELIVERY_DONE);
}

/* The log lacks output, because its disk did not answer. The dashboard got this output during the
 * run, and some of the lines after it. The lines that are still to be sent keep their numbers. */
static void output_that_the_log_lacks_shifts_no_line(void **state)
{
    static const char gap[] = "\n[nixfleet-run: 12 bytes of output were not logged]\n";
    struct run_gap gaps[] = {{.offset = 8, .length = sizeof gap - 1, .missing = 12}};
    struct played *played = *state;
    struct run_end end = {.known = true};
    struct source source;

    line(played, "one\ntwo\n");
    line(played, gap);
    line(played, "sent\nleft\n"); /* the dashboard has "sent" as line 5 */
    end.bytes = end.log_bytes = played->size;
    source_open(&source, played->log, played->marks, NULL, played->size, 24, 80, 0);
    source.gaps = gaps;
    source.gap_count = 1;
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){.lines = 6, .bytes = 8 + 12 + 5}),
                     0);
    delivery_output_ends(&played->delivery, &end);
    build(played);
    assert_true(says(played, "\"from\":6,"));
    assert_true(says(played, "\"text\":\"left\""));
    assert_true(says(played, "\"line_count\":7,"));
    assert_int_equal(accept_it(played), DELIVERY_DONE);
}

/* The dashboard has a part of the output that the log lacks. */
static void output_that_nobody_has_is_one_line(void **state)
{
    static const char gap[] = "\n[nixfleet-run: 1000 bytes of output were not logged]\n";
    struct run_gap gaps[] = {{.offset = 8, .length = sizeof gap - 1, .missing = 1000}};
    struct played *played = *state;
    struct run_end end = {.known = true};
    struct source source;

    line(played, "one\ntwo\n");
    line(played, gap);
    line(played, "left\n");
    end.bytes = end.log_bytes = played->size;
    source_open(&source, played->log, played->marks, NULL, played->size, 24, 80, 0);
    source.gaps = gaps;
    source.gap_count = 1;
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){.lines = 40, .bytes = 408}),
                     0);
    delivery_output_ends(&played->delivery, &end);
    build(played);
    assert_true(says(played, "\"from\":40,"));
    assert_true(
        says(played, "\"text\":\"\\n[nixfleet-run: 600 bytes of output were not kept]\\nleft\""));
    assert_int_equal(accept_it(played), DELIVERY_DONE);
}

/* The log was removed before a helper was started again. If source_left counted the bytes of the
 * log, the helper would try to read them without end. */
static void a_log_that_cannot_be_opened_has_no_bytes_left(void **state)
{
    struct played *played = *state;
    struct source source;

    source_open(&source, -1, played->marks, NULL, 100, 24, 80, 0);
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){0}),
                     0);
    assert_false(delivery_read(&played->delivery, SIZE_MAX, false));
    assert_int_equal(source_left(&played->delivery.source), 0);
}

/* The dashboard keeps its lines, and the delivery counts them as delivered. */
static void batches_without_lines_leave_what_is_there(void **state)
{
    struct played *played = *state;
    struct source source;

    source_open(&source, -1, played->marks, NULL, 0, 24, 80, 0);
    assert_int_equal(delivery_open(&played->delivery, &played->info, played->redactor, &source,
                                   &(struct run_ack){.lines = 3, .more = 4}),
                     0);
    build(played);
    assert_int_equal(answer(played, 200, "{\"next\":%lld}", 7), DELIVERY_GO_ON);
    assert_true(delivery_ack(&played->delivery).lines + delivery_ack(&played->delivery).more == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_batch_of_many_short_lines_that_each_have_a_time_fits,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_of_lines_that_are_all_escapes_fits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dashboard_that_always_goes_back_causes_pauses, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_conflict_about_lines_that_were_never_sent_is_no_answer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            derivations_are_told_with_their_times_and_again_only_when_they_change, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_is_sent_behind_the_last_derivation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bar_keeps_the_time_of_its_first_state, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_output_is_reported_behind_the_last_delivered_line,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(output_that_the_log_lacks_shifts_no_line, setup, teardown),
        cmocka_unit_test_setup_teardown(output_that_nobody_has_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_cannot_be_opened_has_no_bytes_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(batches_without_lines_leave_what_is_there, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
