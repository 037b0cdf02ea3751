/* Floods: a log that takes many batches, lines that are taken together, and a next batch that is
 * prepared while one is in flight. Whatever the dashboard answers, in the end it has the lines of
 * the log. */
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
#include <json-c/json.h>

#include "../../transport/delivery/delivery.h"

#define LINES 150000
#define SECRET "hunter2-hunter2"

/* A dashboard, the log that is sent, and what the dashboard must have in the end. */
struct flood {
    char *argv[2];
    struct run_info info;
    struct redactor *redactor;
    struct delivery delivery;
    int log;
    uint64_t size, quiet;  /* quiet: where the plain lines that fill the window end */
    char *expected, *have; /* each line followed by LF */
    size_t expected_size, have_size;
    uint64_t have_lines;
    int batches, prepared; /* batches in flight; of these, batches that were prepared early */
    size_t budget;         /* bytes that are read in one call */
    size_t largest;        /* bytes of text in the largest batch */
};

static void add_line(struct flood *flood, int number, FILE *log)
{
    char *to = flood->expected + flood->expected_size;

    if (number % 1000 == 7) {
        fprintf(log, "the password is %s.\r\n", SECRET);
        flood->expected_size += (size_t)sprintf(to, "the password is [redacted].\n");
        /* this line waits for the next one, because a secret could be cut there */
    } else if (number % 5000 == 100) {
        fprintf(log, "%0*d\r\n", REDACT_LONG + 100, number);
        flood->expected_size += (size_t)sprintf(to, "%0*d\n", REDACT_LONG + 100, number);
    } else if (number % 1000 == 500) {
        fprintf(log, "\033[32mgreen\033[m \"quoted\\\" \xc3\xa4\r\n");
        flood->expected_size += (size_t)sprintf(to, "\033[32mgreen\033[m \"quoted\\\" \xc3\xa4\n");
    } else {
        const char *more = number % 50 ? ""
                                       : "and \"more\" \\ than that, so that it takes two rows "
                                         "of the window that this is shown in";
        fprintf(log, "line %d %s%s", number, more, number % 3 ? "\r\n" : "\n");
        flood->expected_size += (size_t)sprintf(to, "line %d %s\n", number, more);
    }
}

static int setup(void **state)
{
    struct flood *flood = calloc(1, sizeof *flood);
    char path[] = "/tmp/test-flood-XXXXXX";
    FILE *log;

    flood->argv[0] = (char *)"command";
    flood->info = (struct run_info){.id = "01900000-0000-7000-8000-000000000001",
                                    .host = "host",
                                    .argv = flood->argv,
                                    .rows = 24,
                                    .cols = 80};
    flood->redactor = redactor_new("", NULL, NULL, NULL);
    redactor_add(flood->redactor, SECRET);
    flood->expected = malloc((size_t)LINES * 200);
    flood->have = malloc((size_t)LINES * 200);
    flood->budget = SIZE_MAX;
    flood->largest = DELIVERY_TEXT_MAX;
    flood->log = mkstemp(path);
    assert_true(flood->log >= 0);
    unlink(path);
    log = fdopen(dup(flood->log), "w");
    if (!log)
        return -1;
    for (int i = 0; i < LINES; i++) {
        if (i == 90)
            flood->quiet = (uint64_t)ftell(log);
        add_line(flood, i, log);
    }
    flood->size = (uint64_t)ftell(log);
    fclose(log);
    *state = flood;
    return 0;
}

static int teardown(void **state)
{
    struct flood *flood = *state;

    delivery_close(&flood->delivery);
    redactor_free(flood->redactor);
    close(flood->log);
    free(flood->expected);
    free(flood->have);
    free(flood);
    return 0;
}

static void open_from(struct flood *flood, struct run_ack ack)
{
    struct run_end end = {.known = true, .bytes = flood->size, .log_bytes = flood->size};
    struct source source;

    source_open(&source, flood->log, -1, NULL, flood->size, flood->info.rows, 80, 0);
    assert_int_equal(delivery_open(&flood->delivery, &flood->info, flood->redactor, &source, &ack),
                     0);
    delivery_output_ends(&flood->delivery, &end);
}

/* The bytes before line `number` of a text. */
static size_t bytes_before(const char *text, uint64_t number)
{
    const char *at = text;

    for (; number > 0; number--)
        at = strchr(at, '\n') + 1;
    return (size_t)(at - text);
}

/* Reads until the queue is full, and builds the next batch. */
static void build(struct flood *flood)
{
    struct delivery *delivery = &flood->delivery;

    while (delivery_read(delivery, flood->budget, false))
        ;
    assert_true(delivery_build(delivery));
    flood->batches++;
    flood->prepared += delivery->next.end > delivery->next.from &&
                       delivery->next.from == delivery->sent_from &&
                       delivery->next.end == delivery->sent_end;
    while (delivery_read(delivery, flood->budget, false))
        ;
    delivery_prepare(delivery);
}

/* The dashboard takes the lines of the batch in flight, but at most `most`. */
static void take_lines(struct flood *flood, uint64_t most)
{
    const struct text *body = &flood->delivery.body;
    char *copy = strndup(body->bytes, body->size);
    json_object *object = json_tokener_parse(copy), *text, *from;

    assert_non_null(object);
    assert_true(json_object_object_get_ex(object, "from", &from));
    assert_true((uint64_t)json_object_get_int64(from) <= flood->have_lines);
    flood->have_lines = (uint64_t)json_object_get_int64(from);
    flood->have[flood->have_size] = '\0';
    flood->have_size = bytes_before(flood->have, flood->have_lines);
    if (json_object_object_get_ex(object, "text", &text)) {
        char *to = flood->have + flood->have_size;
        assert_uint_in_range(json_object_get_string_len(text), 0, flood->largest);
        flood->have_size += (size_t)sprintf(to, "%s\n", json_object_get_string(text));
        for (const char *at = to; *at; at++)
            flood->have_lines += *at == '\n';
    }
    if (flood->have_lines > most) {
        flood->have_lines = most;
        flood->have_size = bytes_before(flood->have, most);
    }
    json_object_put(object);
    free(copy);
}

static enum delivery_verdict answer(struct flood *flood, int status)
{
    char body[64];
    struct client_answer answer = {.status = status, .body = body, .retry_after_ms = -1};

    answer.size = (size_t)snprintf(body, sizeof body, "{\"next\":%llu}",
                                   (unsigned long long)flood->have_lines);
    return delivery_take(&flood->delivery, &answer);
}

/* Delivers everything. Calls `third` while the third batch is in flight. */
static void play(struct flood *flood, void (*third)(struct flood *))
{
    enum delivery_verdict verdict = DELIVERY_GO_ON;

    while (verdict == DELIVERY_GO_ON) {
        build(flood);
        assert_true(flood->batches < 1000);
        if (third && flood->batches == 3) {
            third(flood);
            continue;
        }
        take_lines(flood, UINT64_MAX);
        verdict = answer(flood, 200);
    }
    assert_int_equal(verdict, DELIVERY_DONE);
    assert_int_equal(flood->have_lines, LINES);
    assert_int_equal(flood->have_size, flood->expected_size);
    assert_memory_equal(flood->have, flood->expected, flood->expected_size);
}

static void every_batch_but_the_first_is_prepared(void **state)
{
    struct flood *flood = *state;

    open_from(flood, (struct run_ack){0});
    play(flood, NULL);
    assert_true(flood->batches > 2);
    assert_int_equal(flood->prepared, flood->batches - 1);
}

static void nothing_depends_on_how_much_is_read_at_once(void **state)
{
    struct flood *flood = *state;

    flood->budget = 333;
    open_from(flood, (struct run_ack){0});
    play(flood, NULL);
}

/* The lines that the dashboard has also came in a flood, and end in the middle of a read. */
static void a_dashboard_that_has_the_beginning_is_sent_the_rest(void **state)
{
    struct flood *flood = *state;

    flood->have_lines = 70001;
    flood->have_size = bytes_before(flood->expected, flood->have_lines);
    memcpy(flood->have, flood->expected, flood->have_size);
    open_from(flood, (struct run_ack){.lines = flood->have_lines});
    play(flood, NULL);
}

static void too_large(struct flood *flood)
{
    flood->largest /= 2;
    assert_int_equal(answer(flood, 413), DELIVERY_GO_ON);
}

static void smaller_batches_can_be_asked_for_when_one_is_prepared(void **state)
{
    struct flood *flood = *state;

    open_from(flood, (struct run_ack){0});
    play(flood, too_large);
}

static void took_a_part(struct flood *flood)
{
    take_lines(flood, flood->have_lines + 10);
    assert_int_equal(answer(flood, 200), DELIVERY_GO_ON);
}

static void a_part_of_a_batch_can_be_taken_when_the_next_one_is_prepared(void **state)
{
    struct flood *flood = *state;

    open_from(flood, (struct run_ack){0});
    play(flood, took_a_part);
}

static void lost_its_disk(struct flood *flood)
{
    flood->have_lines = 5;
    flood->have_size = bytes_before(flood->expected, 5);
    assert_int_equal(answer(flood, 409), DELIVERY_GO_ON);
}

static void a_dashboard_can_go_back_when_the_next_batch_is_prepared(void **state)
{
    struct flood *flood = *state;

    open_from(flood, (struct run_ack){0});
    play(flood, lost_its_disk);
}

static void was_busy(struct flood *flood)
{
    assert_int_equal(answer(flood, 500), DELIVERY_RETRY);
}

static void a_batch_can_be_repeated_when_the_next_one_is_prepared(void **state)
{
    struct flood *flood = *state;

    open_from(flood, (struct run_ack){0});
    play(flood, was_busy);
}

/* If there are too many lines, some of those in flight are not in the queue any more. */
static void lines_can_be_left_out_before_the_next_batch_is_prepared(void **state)
{
    struct flood *flood = *state;
    struct delivery *delivery = &flood->delivery;

    open_from(flood, (struct run_ack){0});
    while (delivery_read(delivery, SIZE_MAX, false))
        ;
    assert_true(delivery_build(delivery));
    line_queue_drop(&delivery->queue, delivery->sent_from + 100);
    delivery_prepare(delivery);
    take_lines(flood, UINT64_MAX);
    assert_int_equal(answer(flood, 200), DELIVERY_GO_ON);
    play(flood, NULL);
}

static void a_window_of_one_row_is_flooded_the_same_way(void **state)
{
    struct flood *flood = *state;

    flood->info.rows = 1;
    open_from(flood, (struct run_ack){0});
    play(flood, NULL);
}

static void grow_to(struct flood *flood, uint64_t size)
{
    struct run_end end = {.known = true, .bytes = flood->size, .log_bytes = flood->size};

    flood->delivery.source.limit = size < flood->size ? size : flood->size;
    if (size >= flood->size)
        delivery_output_ends(&flood->delivery, &end);
}

/* The last lines in flight can still change. When the next batch is prepared, these lines have left
   the window. */
static void a_flood_can_begin_while_the_last_lines_are_in_flight(void **state)
{
    struct flood *flood = *state;
    struct delivery *delivery = &flood->delivery;

    open_from(flood, (struct run_ack){0});
    delivery->output_over = false;
    grow_to(flood, flood->quiet);
    while (delivery_read(delivery, SIZE_MAX, false))
        ;
    assert_true(delivery_build(delivery));
    assert_true(delivery->sent_end > delivery->released);
    grow_to(flood, UINT64_MAX);
    while (delivery_read(delivery, SIZE_MAX, false))
        ;
    delivery_prepare(delivery);
    take_lines(flood, UINT64_MAX);
    assert_int_equal(answer(flood, 200), DELIVERY_GO_ON);
    play(flood, NULL);
}

static enum delivery_verdict answer_at_random(struct flood *flood, int calm)
{
    uint64_t sent = flood->delivery.sent_end - flood->delivery.sent_from;

    switch (rand() % calm) {
    case 0:
        return answer(flood, 413);
    case 1:
        return answer(flood, 500);
    case 2:
        flood->have_lines = flood->have_lines ? (uint64_t)rand() % flood->have_lines : 0;
        flood->have_size = bytes_before(flood->expected, flood->have_lines);
        return answer(flood, 409);
    case 3:
        take_lines(flood, flood->delivery.sent_from + (sent ? (uint64_t)rand() % sent : 0));
        return answer(flood, 200);
    default:
        take_lines(flood, UINT64_MAX);
        return answer(flood, 200);
    }
}

/* The log grows, batches are read and prepared at any time, and the dashboard gives any answer. */
static void play_at_random(struct flood *flood)
{
    struct delivery *delivery = &flood->delivery;
    enum delivery_verdict verdict = DELIVERY_GO_ON;
    uint64_t size = rand() % 2 ? flood->quiet : (uint64_t)rand() % 20000;

    delivery->output_over = false;
    grow_to(flood, size);
    for (int calm = 5; verdict != DELIVERY_DONE; calm++) {
        assert_uint_in_range(calm, 0, 2000);
        while (rand() % 8 && delivery_read(delivery, (size_t)rand() % 300000, false))
            ;
        assert_true(delivery_build(delivery));
        if (rand() % 3)
            grow_to(flood, size += (uint64_t)rand() % 2000000);
        while (rand() % 50 && delivery_read(delivery, 32768, false))
            delivery_prepare(delivery);
        delivery_prepare(delivery);
        verdict = answer_at_random(flood, calm);
        grow_to(flood, size += (uint64_t)rand() % 100000);
    }
    assert_int_equal(flood->have_size, flood->expected_size);
    assert_memory_equal(flood->have, flood->expected, flood->expected_size);
}

static void any_answers_lead_to_the_lines_of_the_log(void **state)
{
    struct flood *flood = *state;

    for (unsigned round = 0; round < 12; round++) {
        srand(round);
        flood->have_lines = flood->have_size = 0;
        flood->info.rows = round % 3 ? 24 : 1;
        delivery_close(&flood->delivery);
        open_from(flood, (struct run_ack){0});
        play_at_random(flood);
    }
}

/* Lines that can still change would be sent again with the next batch, and the dashboard would
 * write this batch again. */
static void lines_that_can_still_change_wait_while_there_is_more_to_read(void **state)
{
    struct flood *flood = *state;
    struct delivery *delivery = &flood->delivery;

    open_from(flood, (struct run_ack){0});
    assert_true(delivery_read(delivery, 300000, false));
    assert_true(delivery_build(delivery));
    assert_int_equal(delivery->sent_end, delivery->released);
    assert_true(delivery->released < transcript_line_count(delivery->transcript));
    take_lines(flood, UINT64_MAX);
    assert_int_equal(answer(flood, 200), DELIVERY_GO_ON);
    /* after a few lines only, lines that can still change are sent, too */
    assert_true(delivery_read(delivery, 10000, false));
    assert_true(delivery_build(delivery));
    assert_int_equal(delivery->sent_end, transcript_line_count(delivery->transcript));
    take_lines(flood, UINT64_MAX);
    assert_int_equal(answer(flood, 200), DELIVERY_GO_ON);
    play(flood, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_batch_but_the_first_is_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_depends_on_how_much_is_read_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dashboard_that_has_the_beginning_is_sent_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(smaller_batches_can_be_asked_for_when_one_is_prepared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_part_of_a_batch_can_be_taken_when_the_next_one_is_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dashboard_can_go_back_when_the_next_batch_is_prepared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_can_be_repeated_when_the_next_one_is_prepared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            lines_that_can_still_change_wait_while_there_is_more_to_read, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_can_be_left_out_before_the_next_batch_is_prepared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_of_one_row_is_flooded_the_same_way, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_flood_can_begin_while_the_last_lines_are_in_flight, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(any_answers_lead_to_the_lines_of_the_log, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
