/* What parse/screen guarantees, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmocka_versions.h"

#include "../../parse/screen.h"

struct heard {
    char finals[1 << 17],
        seen[1 << 17]; /* each line is followed by '|'; redrawn ones begin with '~' */
    uint64_t count;
    size_t longest;
};

static struct heard heard;

static void append(char *to, size_t capacity, const char *text, size_t length)
{
    size_t size = strlen(to);
    assert_true(size + length + 2 < capacity);
    memcpy(to + size, text, length);
    strcpy(to + size + length, "|");
}

static void on_seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    struct heard *to = context;
    (void)line;
    if (redrawn)
        strcat(to->seen, "~");
    append(to->seen, sizeof to->seen, text, length);
}

static void on_final(void *context, uint64_t line, const char *text, size_t length)
{
    struct heard *to = context;
    assert_int_equal(line, to->count++);
    if (length > to->longest)
        to->longest = length;
    append(to->finals, sizeof to->finals, text, length);
}

static bool with_links;

static struct screen *begin(uint32_t rows, uint32_t cols, const char *bytes)
{
    struct screen_sink sink = {&heard, on_seen, on_final, NULL, with_links};
    memset(&heard, 0, sizeof heard);
    struct screen *screen = screen_new(rows, cols, &sink);
    assert_non_null(screen);
    screen_feed(screen, bytes, strlen(bytes));
    return screen;
}

static const char *lines_of(const char *bytes)
{
    struct screen *screen = begin(5, 20, bytes);
    screen_finish(screen);
    screen_free(screen);
    return heard.finals;
}

static void a_bar_is_one_line_and_each_state_is_seen_once(void **state)
{
    (void)state;
    assert_string_equal(lines_of("10%\r20%\r\033[K30%\r\033[Kdone\n"), "done|");
    assert_string_equal(heard.seen, "~10%|~20%|~30%|done|");
}

static void a_bar_that_is_erased_at_the_end_was_seen(void **state)
{
    (void)state;
    assert_string_equal(lines_of("[1/2 built]\r\033[K"), "");
    assert_string_equal(heard.seen, "~[1/2 built]|");
}

static void a_tree_that_is_redrawn_yields_its_last_state(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a 1\nb 1\n\033[2A\033[2Ka 2\n\033[2Kb 2\nend\n"), "a 2|b 2|end|");
}

static void wrapped_rows_are_one_line(void **state)
{
    (void)state;
    assert_string_equal(lines_of("0123456789012345678901234\nx\n"), "0123456789012345678901234|x|");
}

static void colours_are_normalised_and_each_line_is_complete(void **state)
{
    (void)state;
    assert_string_equal(
        lines_of(
            "\033[31;1mred\nstill\033[0;22m plain\n\033[38:2::1:2:3mx\033[48;5;9m\033[4:3my\n"),
        "\033[1;31mred\033[m|\033[1;31mstill\033[m "
        "plain|\033[38;2;1;2;3mx\033[m\033[4;38;2;1;2;3;101my\033[m|");
}

static void malformed_colours_do_no_more_than_they_say(void **state)
{
    (void)state;
    assert_string_equal(lines_of("\033[31;38;2;1mb\033[m\033[32;38;5;300md\033[m\033[1:2;33me\n"
                                 "\033[38;2;1;2;300;34mf\033[m\033[48:5m\033[38;2;1;2;;34mg\n"),
                        "\033[1;31mb\033[md\033[33me\033[m|"
                        "\033[1;2;34mf\033[m\033[34mg\033[m|");
}

static void sequences_without_text_are_dropped(void **state)
{
    (void)state;
    assert_string_equal(
        lines_of("\033]0;title\007a\033Pdata\033\\b\033(B\033[?25lc\033[1;\030d\033_x\033\\\n"),
        "abcd|");
    assert_string_equal(lines_of("\033(0lq\033(Bk\033)0\016x\017\n"), "lqkx|");
}

/* ---- hyperlinks ---- */

#define TO(target) "\033]8;;" target "\033\\"
#define END TO("")

static const char *links_of(const char *bytes)
{
    const char *lines;

    with_links = true;
    lines = lines_of(bytes);
    with_links = false;
    return lines;
}

static void a_hyperlink_is_kept_with_its_text(void **state)
{
    (void)state;
    assert_string_equal(
        links_of("see \033]8;id=7;https://a.example/x?y=1;2\007here\033]8;;\007.\n"),
        "see " TO("https://a.example/x?y=1;2") "here" END ".|");
    assert_string_equal(heard.seen, "see here.|");
    assert_string_equal(
        links_of(TO("http://a.example") "a" TO("http://b.example") "b\nc\n" END "d\n"),
        TO("http://a.example") "a" END TO("http://b.example") "b" END
                                                              "|" TO("http://b.example") "c" END
                                                                                         "|d|");
    assert_string_equal(links_of("\033[1m" TO("http://a.example") "a\033[mb" END "\n"),
                        TO("http://a.example") "\033[1ma\033[mb" END "|");
    /* hyperlinks were not asked for */
    assert_string_equal(lines_of(TO("http://a.example") "a" END "\n"), "a|");
}

static void a_hyperlink_goes_where_its_cells_go(void **state)
{
    (void)state;
    /* across the end of a row, under a rewrite, moved by an insertion */
    assert_string_equal(links_of("0123456789012345678" TO("http://a.example") "abc" END "\n"),
                        "0123456789012345678" TO("http://a.example") "abc" END "|");
    assert_string_equal(links_of(TO("http://a.example") "abc" END "\rX\n"),
                        "X" TO("http://a.example") "bc" END "|");
    assert_string_equal(links_of(TO("http://a.example") "abc" END "\r\033[2@\n"),
                        "  " TO("http://a.example") "abc" END "|");
    assert_string_equal(links_of(TO("http://a.example") "abc\033cd\n"),
                        TO("http://a.example") "abc" END "|d|"); /* a reset ends the link */
}

static void a_target_that_no_page_may_offer_is_no_link(void **state)
{
    static const char *const targets[] = {
        "javascript:alert(1)",  "data:text/html,x", "file:///etc/passwd",
        "ftp://a.example/",     "https://",         "//a.example/",
        " http://a.example",    "http://a b",       "http://a\tb",
        "http://\xe2\x80\xaex", "http://\x7fx",     "x"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        /* the link before must not continue over this text */
        snprintf(text, sizeof text, TO("http://a.example") "a" TO("%s") "b" END "\n", targets[i]);
        assert_string_equal(links_of(text), TO("http://a.example") "a" END "b|");
    }
    assert_string_equal(links_of(TO("http://a.example") "a\033]8;;http://b\030b" END "\n"),
                        TO("http://a.example") "a" END "b|");
}

static void a_target_has_an_end(void **state)
{
    static char text[3 * 4096], longest[2048 + 1];

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    memcpy(longest, "http://", 7);
    snprintf(text, sizeof text, TO("%s") "a" TO("%sx") "b" END "\n", longest, longest);
    links_of(text);
    snprintf(text, sizeof text, TO("%s") "a" END "b|", longest);
    assert_string_equal(heard.finals, text);
}

/* More links than fit in a line, then more links than there are numbers, and then fewer again. */
static void too_many_hyperlinks_leave_the_text(void **state)
{
    static char text[1 << 17], plain[16384];
    size_t size = 0, length;
    struct screen *screen;

    (void)state;
    with_links = true;
    for (int i = 0; i < 1500; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, TO("http://a.example/%d") "%d ",
                                 i, i);
    screen = begin(24, 1000, text);
    length = screen_line_count(screen);
    assert_int_equal(length, 1);
    screen_feed(screen, END "\n", strlen(END "\n"));
    for (int i = 0; i < 30; i++)
        screen_feed(screen, "\n", 1);
    screen_feed(screen, TO("http://last.example") "last" END "\n",
                strlen(TO("http://last.example") "last" END "\n"));
    screen_finish(screen);
    screen_free(screen);
    with_links = false;
    assert_true(heard.longest <= SCREEN_LINE_MAX + SCREEN_LINKS_MAX);
    assert_non_null(strstr(heard.finals, TO("http://a.example/0") "0 " END));
    size = 0;
    for (int i = 0; i < 1500; i++)
        size += (size_t)snprintf(plain + size, sizeof plain - size, "%d ", i);
    for (const char *at = heard.finals; *at; at++)
        assert_true((unsigned char)*at >= ' ' || *at == '\033');
    assert_memory_equal(heard.seen, plain, size);
    assert_non_null(strstr(heard.finals, "1499 "));
}

/* A program that was killed while it wrote a title or picture. */
static void a_string_that_is_never_closed_ends_at_a_line_feed_or_after_4_kib(void **state)
{
    static const char *const starts[] = {"\033]0;", "\033P", "\033_", "\033^", "\033X", "\033k"};
    static char text[8192], much[4400];

    (void)state;
    memset(much, 'x', sizeof much - 1);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        snprintf(text, sizeof text, "a%sunclosed\nb\nc\n", starts[i]);
        assert_string_equal(lines_of(text), "a|b|c|");
        snprintf(text, sizeof text, "a%s%s\rend\033[K\n", starts[i], much);
        assert_non_null(strstr(lines_of(text), "end"));
    }
}

static void the_alternate_screen_is_skipped(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a\n\033[?1049h\033[Hinside\n\033[?1049lb\n"), "a|b|");
}

static void what_the_alternate_screen_sets_stays_set(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a\033[2;3r\033[?1049h\033[r\033[?7l\033[?1049l\n\n\n\n\033[Ab"
                                 "0123456789012345678XYZ\n"),
                        "a|||b012345678901234567Z|");
}

static void
the_cursor_comes_back_from_the_alternate_screen_only_where_that_is_asked_for(void **state)
{
    (void)state;
    assert_string_equal(lines_of("ab\033[?1049h\033[3;9Hx\n\033[?1049lc"), "abc|");
    assert_string_equal(lines_of("ab\033[?47h\033[3;9Hx\033[?47lc"), "ab||         c|");
}

static void a_line_feed_without_a_return_keeps_the_column(void **state)
{
    (void)state;
    assert_string_equal(lines_of("ab\vc\fd\033De\033Ef\n"), "ab|  c|   d|    e|f|");
}

static void joined_emoji_are_one_character(void **state)
{
    (void)state;
    assert_string_equal(lines_of("\U0001F468\u200D\U0001F469\u200D\U0001F467\r\033[2Cx\n"),
                        "\U0001F468\u200D\U0001F469\u200D\U0001F467x|");
}

static void a_cleared_screen_stays_in_the_lines(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a\n\033[H\033[2J\033[3Jb\n\033[?3lc\n"), "a|b|c|");
}

static void a_display_at_the_top_that_is_drawn_again_is_one_display(void **state)
{
    (void)state;
    assert_string_equal(
        lines_of("[1/3]\na\n\033[?2026h\033[G\033[2F\033[J[2/3]\nb\nc\n\033[?2026l"), "[2/3]|b|c|");
    assert_string_equal(lines_of("abc\r\033[Jd\n"), "d|");
    assert_string_equal(lines_of("a\n\033[H\033[Jb\n"), "a|b|");
}

static void invalid_utf8_is_replaced(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a\xff"
                                 "b\xe6\x97"
                                 "c\xc0\xaf\xed\xa0\x80\n"),
                        "a\uFFFD"
                        "b\uFFFD"
                        "c\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD|");
}

static void a_line_of_any_length_is_split_at_the_bound(void **state)
{
    (void)state;
    size_t size = 50000;
    char *line = malloc(size + 1);
    memset(line, 'x', size);
    line[size] = '\0';
    lines_of(line);
    free(line);
    assert_true(heard.count >= 4 && heard.count <= 5);
    assert_true(heard.longest <= SCREEN_LINE_MAX && heard.longest > SCREEN_LINE_MAX - 200);
    assert_int_equal(strlen(heard.finals), size + heard.count);
}

static void live_lines_and_changes_can_be_asked_for(void **state)
{
    (void)state;
    size_t length;
    struct screen *screen = begin(3, 20, "a\nb\nc\n\033[32md");
    assert_int_equal(screen_final_count(screen), 1);
    assert_int_equal(screen_line_count(screen), 4);
    assert_int_equal(screen_take_changed(screen), 0);
    assert_int_equal(screen_take_changed(screen), 4);
    const char *text = screen_live_line(screen, 3, &length);
    assert_memory_equal(text, "\033[32md\033[m", length);
    assert_null(screen_live_line(screen, 0, &length));
    assert_null(screen_live_line(screen, 4, &length));
    screen_feed(screen, "\033[AX", 4);
    assert_int_equal(screen_take_changed(screen), 2);
    screen_free(screen);
}

/* Lines that move get other numbers, so the text of each number changes. */
static void lines_that_move_on_count_as_changed(void **state)
{
    (void)state;
    struct screen *screen = begin(3, 5, "cd\n");
    screen_take_changed(screen);
    screen_feed(screen, "\033[2;4r\033[2S", 10);
    assert_int_equal(screen_take_changed(screen), 0);
    screen_free(screen);
    screen = begin(2, 11, "cd\n half");
    screen_take_changed(screen);
    screen_feed(screen, "\033[2M\033[2J\033[2;5Hx", 15);
    assert_uint_in_range(screen_take_changed(screen), 0, 1);
    screen_free(screen);
}

static void absurd_parameters_do_no_harm(void **state)
{
    (void)state;
    assert_string_equal(
        lines_of("a\033[99999999999999999999Cb\033[4294967295@\033[999999999L\033[9999999P\nz\n"),
        "|z|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_is_one_line_and_each_state_is_seen_once),
        cmocka_unit_test(a_bar_that_is_erased_at_the_end_was_seen),
        cmocka_unit_test(a_tree_that_is_redrawn_yields_its_last_state),
        cmocka_unit_test(wrapped_rows_are_one_line),
        cmocka_unit_test(colours_are_normalised_and_each_line_is_complete),
        cmocka_unit_test(malformed_colours_do_no_more_than_they_say),
        cmocka_unit_test(sequences_without_text_are_dropped),
        cmocka_unit_test(a_hyperlink_is_kept_with_its_text),
        cmocka_unit_test(a_hyperlink_goes_where_its_cells_go),
        cmocka_unit_test(a_target_that_no_page_may_offer_is_no_link),
        cmocka_unit_test(a_target_has_an_end),
        cmocka_unit_test(too_many_hyperlinks_leave_the_text),
        cmocka_unit_test(a_string_that_is_never_closed_ends_at_a_line_feed_or_after_4_kib),
        cmocka_unit_test(the_alternate_screen_is_skipped),
        cmocka_unit_test(what_the_alternate_screen_sets_stays_set),
        cmocka_unit_test(
            the_cursor_comes_back_from_the_alternate_screen_only_where_that_is_asked_for),
        cmocka_unit_test(a_line_feed_without_a_return_keeps_the_column),
        cmocka_unit_test(joined_emoji_are_one_character),
        cmocka_unit_test(a_cleared_screen_stays_in_the_lines),
        cmocka_unit_test(a_display_at_the_top_that_is_drawn_again_is_one_display),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(a_line_of_any_length_is_split_at_the_bound),
        cmocka_unit_test(live_lines_and_changes_can_be_asked_for),
        cmocka_unit_test(lines_that_move_on_count_as_changed),
        cmocka_unit_test(absurd_parameters_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
