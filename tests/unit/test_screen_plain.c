/* Floods of plain lines do not go through the rows of the screen, and no difference may be seen.
 * All output is fed to two screens; one of them gets it byte by byte, so that there is never a
 * flood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../parse/screen.h"

#define ROUNDS 400
#define OUTPUT_MAX 60000

/* Everything that a sink received, in two texts. */
struct told {
    char *seen, *final;
    size_t seen_size, final_size;
    uint64_t next;
    size_t together; /* lines that came with others in one call */
};

static void on_seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    struct told *told = context;

    assert_true(line >= told->next);
    told->seen_size +=
        (size_t)sprintf(told->seen + told->seen_size, "%llu%c%.*s\n", (unsigned long long)line,
                        redrawn ? '~' : ' ', (int)length, text);
}

static void on_final(void *context, uint64_t line, const char *text, size_t length)
{
    struct told *told = context;

    assert_int_equal(line, told->next++);
    told->final_size +=
        (size_t)sprintf(told->final + told->final_size, "%.*s\n", (int)length, text);
}

static void on_finals(void *context, uint64_t line, size_t count, const char *text, size_t length)
{
    struct told *told = context;
    const char *end = text + length;

    assert_true(count > 1);
    told->together += count;
    for (; count > 1; count--) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        assert_non_null(lf);
        on_final(context, line++, text, (size_t)(lf - text));
        text = lf + 1;
    }
    on_final(context, line, text, (size_t)(end - text));
}

static struct told told_new(void)
{
    return (struct told){.seen = malloc(OUTPUT_MAX * 64), .final = malloc(OUTPUT_MAX * 8)};
}

static void told_free(struct told *told)
{
    free(told->seen);
    free(told->final);
}

static size_t a_plain_line(char *out, uint32_t cols)
{
    size_t length = (size_t)rand() % (cols + 2);

    if (rand() % 16 == 0)
        length *= (size_t)rand() % 5;
    if (rand() % 4 == 0)
        length = 0;
    for (size_t i = 0; i < length; i++)
        out[i] = (char)(' ' + rand() % 95);
    if (rand() % 2)
        out[length++] = '\r';
    out[length++] = '\n';
    return length;
}

static size_t something_else(char *out)
{
    static const char *const other[] = {"10%\r20%\r\033[K30%",
                                        "\033[31mred\033[m",
                                        "\033[31m",
                                        "\033[m",
                                        "\033[A",
                                        "\033[2;5Hx",
                                        "\033[2;4r",
                                        "\033[r",
                                        "\033[?1049h",
                                        "\033[?1049l",
                                        "\033[4h",
                                        "\033[4l",
                                        "\033[?7l",
                                        "\033[?7h",
                                        "\xc3\xa4\xe2\x82",
                                        "\033[999;1H",
                                        "\033[999;9H",
                                        "\b\b",
                                        "\t",
                                        "\033M",
                                        "\033[2J",
                                        "\033[2S",
                                        "\033[2M",
                                        "\033[1L",
                                        "\033]0;t",
                                        "\033]8;;http://a.example/\033\\",
                                        "\033]8;;http://a.example/\033\\link\033]8;;\033\\",
                                        "\033]8;;\033\\",
                                        "\033c",
                                        "\033[999;1H\033[2K",
                                        "\n\033[A",
                                        "half",
                                        "\033[A\033[2K\n",
                                        "\0337",
                                        "\0338",
                                        "\033[1;3r\033[999;1H",
                                        "half\033[1K",
                                        "a line that takes more than a row of this window"};

    return (size_t)sprintf(out, "%s%s", other[(size_t)rand() % (sizeof other / sizeof other[0])],
                           rand() % 2 ? "\r" : "");
}

static size_t some_output(char *out, uint32_t cols, int others)
{
    size_t size = 0;

    for (int n = rand() % 8; n >= 0; n--) {
        for (int lines = rand() % 300; lines > 0 && size < OUTPUT_MAX - 1000; lines--)
            size += a_plain_line(out + size, cols);
        if (others)
            size += something_else(out + size);
    }
    return size;
}

static void assert_same_state(struct screen *one, struct screen *other)
{
    uint64_t count = screen_line_count(one);

    assert_int_equal(screen_final_count(one), screen_final_count(other));
    assert_int_equal(count, screen_line_count(other));
    for (uint64_t line = screen_final_count(one); line < count; line++) {
        size_t length, other_length;
        const char *text = screen_live_line(one, line, &length);
        const char *other_text = screen_live_line(other, line, &other_length);
        assert_int_equal(length, other_length);
        assert_memory_equal(text, other_text, length);
    }
}

/* A copy of the lines that can still change, from `first` on. */
struct remembered {
    uint64_t first, count;
    char **line;
    size_t *length;
};

static void forget(struct remembered *remembered)
{
    for (uint64_t i = 0; i < remembered->count; i++)
        free(remembered->line[i]);
    free(remembered->line);
    free(remembered->length);
}

static struct remembered remember(struct screen *screen)
{
    uint64_t first = screen_final_count(screen), count = screen_line_count(screen) - first;
    struct remembered remembered = {.first = first, .count = count};

    remembered.line = calloc(count + 1, sizeof *remembered.line);
    remembered.length = calloc(count + 1, sizeof *remembered.length);
    for (uint64_t i = 0; i < count; i++) {
        const char *text = screen_live_line(screen, first + i, &remembered.length[i]);
        remembered.line[i] = malloc(remembered.length[i] + 1);
        memcpy(remembered.line[i], text, remembered.length[i]);
    }
    return remembered;
}

static const char *line_now(struct screen *screen, const struct told *told, uint64_t line,
                            size_t *length)
{
    const char *at = told->final;

    if (line >= screen_final_count(screen))
        return screen_live_line(screen, line, length);
    for (; line > 0; line--)
        at = (const char *)memchr(at, '\n', told->final_size) + 1;
    *length = (size_t)((const char *)memchr(at, '\n', told->final_size) - at);
    return at;
}

/* Lines with a lower number than the lowest changed line must be unchanged. */
static void assert_only_those_changed(struct screen *screen, const struct told *told,
                                      const struct remembered *before, uint64_t lowest)
{
    for (uint64_t i = 0; i < before->count && before->first + i < lowest; i++) {
        size_t length;
        const char *text = line_now(screen, told, before->first + i, &length);
        assert_int_equal(length, before->length[i]);
        assert_memory_equal(text, before->line[i], length);
    }
}

/* Returns how many lines came with others in one call. */
static size_t compare(uint32_t rows, uint32_t cols, int others)
{
    static char out[OUTPUT_MAX];
    struct told whole = told_new(), cut = told_new();
    struct screen_sink whole_sink = {&whole, on_seen, on_final, on_finals, true};
    struct screen_sink cut_sink = {&cut, on_seen, on_final, on_finals, true};
    struct screen *one = screen_new(rows, cols, &whole_sink);
    struct screen *other = screen_new(rows, cols, &cut_sink);
    size_t together;

    assert_non_null(one);
    assert_non_null(other);
    for (int feed = 0; feed < 3; feed++) {
        size_t size = some_output(out, cols, others);
        struct remembered before = remember(one);
        uint64_t lowest;
        screen_feed(one, out, size);
        for (size_t i = 0; i < size; i++)
            screen_feed(other, out + i, 1);
        assert_same_state(one, other);
        lowest = screen_take_changed(one);
        assert_true(lowest <= screen_take_changed(other));
        assert_only_those_changed(one, &whole, &before, lowest);
        forget(&before);
        if (feed == 1) {
            screen_resize(one, rows + 2, cols / 2 + 1);
            screen_resize(other, rows + 2, cols / 2 + 1);
        }
    }
    screen_finish(one);
    screen_finish(other);
    screen_free(one);
    screen_free(other);
    assert_int_equal(whole.seen_size, cut.seen_size);
    assert_memory_equal(whole.seen, cut.seen, cut.seen_size);
    assert_int_equal(whole.final_size, cut.final_size);
    assert_memory_equal(whole.final, cut.final, cut.final_size);
    together = whole.together;
    assert_int_equal(cut.together, 0);
    told_free(&whole);
    told_free(&cut);
    return together;
}

static void plain_lines_are_the_same_in_a_flood(void **state)
{
    size_t together = 0;
    (void)state;
    srand(1);
    for (int round = 0; round < ROUNDS / 4; round++)
        together += compare((uint32_t)rand() % 30 + 1, (uint32_t)rand() % 100 + 1, 0);
    assert_true(together > 10000);
}

static void plain_lines_between_other_output_are_the_same(void **state)
{
    size_t together = 0;
    (void)state;
    srand(2);
    for (int round = 0; round < ROUNDS; round++)
        together += compare((uint32_t)rand() % 12 + 1, (uint32_t)rand() % 40 + 10, 1);
    assert_true(together > 10000);
}

static void one_by_one(void *context, uint64_t line, const char *text, size_t length)
{
    on_final(context, line, text, length);
}

static void without_finals_each_line_is_reported(void **state)
{
    struct told told = told_new();
    struct screen_sink sink = {&told, NULL, one_by_one, NULL, false};
    struct screen *screen = screen_new(5, 20, &sink);
    static char out[OUTPUT_MAX], expected[OUTPUT_MAX];
    size_t size = 0;
    (void)state;

    for (int i = 0; i < 3000; i++)
        size += (size_t)sprintf(out + size, "%s%d\n", i % 10 ? "line " : "", i);
    memcpy(expected, out, size);
    screen_feed(screen, out, size);
    screen_finish(screen);
    screen_free(screen);
    assert_int_equal(told.next, 3000);
    assert_int_equal(told.final_size, size);
    assert_memory_equal(told.final, expected, size);
    told_free(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_are_the_same_in_a_flood),
        cmocka_unit_test(plain_lines_between_other_output_are_the_same),
        cmocka_unit_test(without_finals_each_line_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
