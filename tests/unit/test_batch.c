/* The JSON that is sent, what is read from answers, and to which URLs a token may be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_versions.h"

#include "../../transport/body/json_out.h"
#include "../../transport/http/answer.h"
#include "../../transport/http/client.h"
#include "../../transport/delivery/lines.h"

static void text_is_escaped_and_always_valid_utf8(void **state)
{
    static const char wanted[] =
        "{\"t\":\"a\\\"b\\\\c\\n\\u001b[m\\u007f \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\",\"n\":-5}";
    struct text out = {0};

    (void)state;
    json_open(&out, NULL, '{');
    json_string(&out, "t", "a\"b\\c\n\033[m\x7f \xc3\xa4 \xff\xc3", 16);
    json_int(&out, "n", -5);
    json_close(&out, '}');
    assert_int_equal(out.size, sizeof wanted - 1);
    assert_memory_equal(out.bytes, wanted, out.size);
    text_free(&out);
}

static void an_exit_names_its_signal(void **state)
{
    static const char wanted[] = "{\"exit\":{\"signal\":\"KILL\"}}";
    struct text out = {0};

    (void)state;
    json_open(&out, NULL, '{');
    json_exit(&out, true, 9);
    json_close(&out, '}');
    assert_int_equal(out.size, sizeof wanted - 1);
    assert_memory_equal(out.bytes, wanted, out.size);
    text_free(&out);
}

static void answers_are_read_within_bounds(void **state)
{
    struct answer answer;

    (void)state;
    assert_true(answer_parse("{\"next\":7,\"wait_ms\":99999999}", 29, &answer));
    assert_int_equal(answer.next, 7);
    assert_int_equal(answer.wait_ms, 30000);
    assert_true(answer_parse("{\"next\":\"7\",\"stop\":1}", 21, &answer));
    assert_int_equal(answer.next, -1);
    assert_false(answer.stop);
    assert_true(answer_parse("{\"stop\":true}", 13, &answer));
    assert_true(answer.stop);
    assert_true(answer_parse("{\"error\":\"\\u001b]0;x\"}", 22, &answer));
    assert_string_equal(answer.error, "?]0;x");
    assert_false(answer_parse("[1]", 3, &answer));
    assert_false(answer_parse("<html>", 6, &answer));
    assert_false(answer_parse("", 0, &answer));
}

static void plain_http_is_for_this_machine(void **state)
{
    const char *why;

    (void)state;
    assert_true(client_url_allowed("http://127.0.0.1:80", false, &why));
    assert_true(client_url_allowed("http://localhost", false, &why));
    assert_true(client_url_allowed("http://[::1]:8080/x", false, &why));
    assert_true(client_url_allowed("https://example.org", false, &why));
    assert_true(client_url_allowed("http://example.org", true, &why));
    assert_false(client_url_allowed("http://example.org", false, &why));
    assert_false(client_url_allowed("http://127.0.0.1.example.org", false, &why));
    assert_false(client_url_allowed("http://127.0.0.1@example.org", false, &why));
    assert_false(client_url_allowed("ftp://127.0.0.1", true, &why));
    assert_false(client_url_allowed("file:///etc/passwd", true, &why));
}

static void lines_and_times_are_dropped_from_the_front(void **state)
{
    struct line_queue queue = {0};
    struct time_runs times = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(line_queue_add(&queue, 1, "line", i % 5 ? 4 : 0));
    line_queue_drop(&queue, 998);
    assert_int_equal(queue.first, 998);
    assert_int_equal(queue.count, 2);
    assert_memory_equal(queue.bytes + queue.start, "line\nline\n", 10);
    line_queue_drop(&queue, 5000);
    assert_int_equal(queue.first, 1000);
    line_queue_free(&queue);

    time_runs_set_end(&times, 10, 100);
    time_runs_set_end(&times, 15, 200);
    time_runs_set_end(&times, 12, 300); /* three lines were erased */
    time_runs_set_end(&times, 13, 400);
    time_runs_drop(&times, 4);
    assert_int_equal(times.first, 4);
    assert_int_equal(times.end, 13);
    assert_int_equal(times.run[times.start].count, 6);
    assert_int_equal(times.run[times.start + 1].count, 2);
    assert_int_equal(times.run[times.start + 2].ms, 400);
    time_runs_free(&times);
}

/* A queue of one megabyte, from which each batch removes half, needs less than two megabytes. */
static void a_queue_that_shrinks_as_it_grows_needs_little_memory(void **state)
{
    const size_t most = (size_t)1 << 20;
    struct line_queue queue = {0};
    uint64_t number = 0, next = 0;
    char line[32];

    (void)state;
    for (int batch = 0; batch < 50; batch++) {
        while (line_queue_size(&queue) < most) {
            int length = snprintf(line, sizeof line, "%llu", (unsigned long long)number++);

            assert_true(line_queue_add(&queue, 1, line, (size_t)length));
        }
        assert_uint_in_range(queue.capacity, most, most / 5 * 9);
        next += queue.count / 2;
        line_queue_drop(&queue, next);
        snprintf(line, sizeof line, "%llu\n", (unsigned long long)next);
        assert_memory_equal(queue.bytes + queue.start, line, strlen(line));
    }
    line_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped_and_always_valid_utf8),
        cmocka_unit_test(an_exit_names_its_signal),
        cmocka_unit_test(answers_are_read_within_bounds),
        cmocka_unit_test(plain_http_is_for_this_machine),
        cmocka_unit_test(lines_and_times_are_dropped_from_the_front),
        cmocka_unit_test(a_queue_that_shrinks_as_it_grows_needs_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
