/* internal-json becomes the text that nix would have printed; everything else passes unchanged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../parse/nixlog.h"

struct output {
    char *text;
    size_t size;
    int64_t done, expected, running;
};

static void on_text(void *context, const void *bytes, size_t size)
{
    struct output *output = context;
    output->text = realloc(output->text, output->size + size + 1);
    assert_non_null(output->text);
    memcpy(output->text + output->size, bytes, size);
    output->size += size;
    output->text[output->size] = '\0';
}

static void on_count(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                     int64_t expected, int64_t running, int64_t failed)
{
    struct output *output = context;
    (void)process, (void)failed;
    if (what == NIXLOG_BUILDS) {
        output->done = done;
        output->expected = expected;
        output->running = running;
    }
}

static struct output filter(const char *bytes, size_t size, size_t step)
{
    struct output output = {0};
    struct nixlog *nixlog =
        nixlog_new(NIXLOG_LINES,
                   &(struct nixlog_sink){.context = &output, .text = on_text, .count = on_count});
    assert_non_null(nixlog);
    for (size_t at = 0; at < size; at += step)
        nixlog_feed(nixlog, bytes + at, size - at < step ? size - at : step);
    nixlog_finish(nixlog);
    nixlog_free(nixlog);
    return output;
}

static void expect(const char *bytes, const char *text)
{
    for (size_t step = 1; step <= strlen(bytes); step += step < 8 ? 1 : 97) {
        struct output output = filter(bytes, strlen(bytes), step);
        assert_string_equal(output.text, text);
        free(output.text);
    }
}

static void a_message_becomes_its_text(void **state)
{
    (void)state;
    expect("a\n@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"one\\ntwo\"}\r\nb\n",
           "a\none\r\ntwo\x1b[m\r\nb\n");
}

static void a_builders_line_carries_its_name(void **state)
{
    (void)state;
    expect("@nix {\"action\":\"start\",\"id\":7,\"level\":3,\"type\":105,\"text\":\"building "
           "'x'\",\"fields\":"
           "[\"/nix/store/abc-my-pkg-1.2.drv\",\"\",1,1]}\n"
           "@nix {\"action\":\"result\",\"id\":7,\"type\":101,\"fields\":[\"hi\"]}\n",
           "building 'x'...\x1b[m\r\nmy-pkg> hi\x1b[m\r\n");
}

static void a_builders_line_cannot_leave_its_prefix(void **state)
{
    (void)state;
    static const char start[] =
        "@nix {\"action\":\"start\",\"id\":7,\"level\":9,\"type\":105,\"text\":\"\",\"fields\":"
        "[\"/nix/store/abc-pkg.drv\",\"\",1,1]}\n";
    static const char *const lines[][2] = {
        {"a\\rb\\tc", "pkg> ab\tc\x1b[m\r\n"},
        {"a\\u001b[1Gb\\u001b[1;31mc\\u0007", "pkg> ab\x1b[1;31mc\x1b[m\r\n"},
        {"a\\nb\\n", "pkg> a\x1b[m\r\npkg> b\x1b[m\r\n"},
        {"\\u001b", "pkg> \x1b[m\r\n"},
        {"\\u001b[", "pkg> \x1b[m\r\n"},
        {"\\u001b[12", "pkg> \x1b[m\r\n"},
        {"", "pkg> \x1b[m\r\n"},
    };
    char bytes[512];
    for (size_t at = 0; at < sizeof lines / sizeof lines[0]; at++) {
        snprintf(bytes, sizeof bytes,
                 "%s@nix {\"action\":\"result\",\"id\":7,\"type\":101,\"fields\":[\"%s\"]}\n",
                 start, lines[at][0]);
        expect(bytes, lines[at][1]);
    }
    expect("@nix {\"action\":\"result\",\"id\":8,\"type\":101,\"fields\":[\"Building\"]}\n",
           "builder> Building\x1b[m\r\n");
}

static void a_line_that_is_not_a_record_passes_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {"@nix {broken\n",
                                        "@nix\n",
                                        "@",
                                        "x@nix {}\n",
                                        "@nix {\"action\":\"msg\"",
                                        "@nix {\"action\":\"other\"}\n",
                                        "\n@@nix {}\n"};
    for (size_t at = 0; at < sizeof texts / sizeof texts[0]; at++)
        expect(texts[at], texts[at]);
}

static void a_record_over_the_bound_passes_through(void **state)
{
    (void)state;
    static const char head[] = "@nix {\"action\":\"msg\",\"msg\":\"";
    size_t size = NIXLOG_RECORD_MAX + 4096;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + size - 3, "\"}\n", 3);
    for (size_t step = 1000; step <= size; step *= 50) {
        struct output output = filter(bytes, size, step);
        assert_int_equal(output.size, size);
        assert_memory_equal(output.text, bytes, size);
        free(output.text);
    }
    free(bytes);
}

/* More activities than are remembered come and go while the builds run. */
static void a_build_that_lasts_keeps_its_name(void **state)
{
    enum { BUILDS = 40, SHORT = 3000, RECORD = 200 };
    char *records = malloc((size_t)(SHORT + 2 * BUILDS) * 2 * RECORD), *at = records;

    (void)state;
    assert_non_null(records);
    for (int id = 1; id <= BUILDS; id++)
        at += sprintf(at,
                      "@nix {\"action\":\"start\",\"id\":%d,\"level\":5,\"type\":105,\"text\":\"\","
                      "\"fields\":[\"/nix/store/aaaa-name%d.drv\",\"\",1,1]}\n",
                      id, id);
    for (int id = BUILDS + 1; id <= SHORT; id++)
        at +=
            sprintf(at,
                    "@nix {\"action\":\"start\",\"id\":%d,\"level\":5,\"type\":101,\"text\":\"\"}\n"
                    "@nix {\"action\":\"stop\",\"id\":%d}\n",
                    id, id);
    for (int id = 1; id <= BUILDS; id++)
        at += sprintf(
            at, "@nix {\"action\":\"result\",\"id\":%d,\"type\":101,\"fields\":[\"text\"]}\n", id);
    struct output output = filter(records, (size_t)(at - records), 4096);
    for (int id = 1; id <= BUILDS; id++) {
        char line[64];

        snprintf(line, sizeof line, "name%d> text\033", id);
        assert_non_null(strstr(output.text, line));
    }
    free(output.text);
    free(records);
}

static void the_builds_are_counted(void **state)
{
    (void)state;
    static const char text[] =
        "@nix {\"action\":\"start\",\"id\":3,\"level\":0,\"text\":\"\",\"type\":104}\n"
        "@nix {\"action\":\"result\",\"id\":3,\"type\":105,\"fields\":[2,11,1,0]}\n";
    struct output output = filter(text, sizeof text - 1, sizeof text);
    assert_int_equal(output.done, 2);
    assert_int_equal(output.expected, 11);
    assert_int_equal(output.running, 1);
    assert_int_equal(output.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_becomes_its_text),
        cmocka_unit_test(a_builders_line_carries_its_name),
        cmocka_unit_test(a_builders_line_cannot_leave_its_prefix),
        cmocka_unit_test(a_line_that_is_not_a_record_passes_unchanged),
        cmocka_unit_test(a_record_over_the_bound_passes_through),
        cmocka_unit_test(a_build_that_lasts_keeps_its_name),
        cmocka_unit_test(the_builds_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
