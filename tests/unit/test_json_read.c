/* Every reader of JSON accepts what RFC 8259 allows and nothing else, with any version of
 * json-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/json.h"
#include "common/json_read.h"
#include "parse/nixlog.h"
#include "transport/http/answer.h"
#include "json_cases.h"

#define CASES (sizeof json_cases / sizeof *json_cases)

static bool wanted(const struct json_case *tried)
{
    return tried->verdict == ACCEPT || tried->verdict == OPEN_ACCEPT;
}

/* A copy at the end of its allocation, so that a sanitizer sees a read behind the end. */
static char *wrapped(const char *before, const struct json_case *tried, const char *after,
                     size_t *size)
{
    size_t front = strlen(before), back = strlen(after);
    char *text = malloc(front + tried->size + back + (front + tried->size + back == 0));

    assert_non_null(text);
    memcpy(text, before, front);
    memcpy(text + front, tried->text, tried->size);
    memcpy(text + front + tried->size, after, back);
    *size = front + tried->size + back;
    return text;
}

static void check(const struct json_case *tried, const char *reader, bool accepted)
{
    if (accepted != wanted(tried)) {
        printf("%s %s: ", reader, accepted ? "accepts" : "refuses");
        for (size_t i = 0; i < tried->size; i++)
            printf(tried->text[i] >= ' ' && tried->text[i] <= '~' ? "%c" : "<%02x>",
                   (unsigned char)tried->text[i]);
        printf("\n");
    }
    assert_true(accepted == wanted(tried));
}

static void each_text_is_accepted_or_refused_as_the_standard_says(void **state)
{
    (void)state;
    assert_true(CASES >= 300);
    for (size_t i = 0; i < CASES; i++) {
        struct json_problem problem;
        json_object *value;
        size_t size;
        char *text = wrapped("", &json_cases[i], "", &size);
        bool accepted = json_read(text, size, 8, &value, &problem) == 0;

        check(&json_cases[i], "json_read", accepted);
        if (!accepted) {
            assert_non_null(problem.reason);
            assert_false(problem.no_memory);
            assert_true(problem.at <= size);
        }
        json_object_put(value);
        free(text);
    }
}

static void what_is_written_back_is_json_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct json_problem problem;
        json_object *value, *again;
        const char *text;

        if (!wanted(&json_cases[i]))
            continue;
        assert_int_equal(json_read(json_cases[i].text, json_cases[i].size, 8, &value, &problem), 0);
        text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
        assert_int_equal(json_read(text, strlen(text), 8, &again, &problem), 0);
        assert_true(json_object_equal(value, again));
        json_object_put(value);
        json_object_put(again);
    }
}

static void the_dashboard_reads_bodies_by_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct json_problem problem;
        size_t size;
        char *text = wrapped("{\"v\":", &json_cases[i], "}", &size);
        json_object *object = body_parse(text, size, &problem);

        check(&json_cases[i], "body_parse", object != NULL);
        json_object_put(object);
        free(text);
    }
}

static void the_helper_reads_answers_by_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct answer answer;
        size_t size;
        char *text = wrapped("{\"next\":7,\"v\":", &json_cases[i], "}", &size);
        bool read = answer_parse(text, size, &answer);

        check(&json_cases[i], "answer_parse", read);
        assert_int_equal(answer.next, read ? 7 : -1);
        free(text);
    }
}

static void count_text(void *context, const void *bytes, size_t size)
{
    (void)bytes;
    *(size_t *)context += size;
}

/* A valid record of nix is removed from the text; all other text passes unchanged. */
static void nix_records_are_read_by_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        size_t size, shown = 0;
        struct nixlog *nixlog =
            nixlog_new(NIXLOG_LINES, &(struct nixlog_sink){.context = &shown, .text = count_text});
        char *text = wrapped("@nix {\"action\":\"stop\",\"v\":", &json_cases[i], "}\n", &size);

        assert_non_null(nixlog);
        nixlog_feed(nixlog, text, size);
        nixlog_finish(nixlog);
        if (!memchr(json_cases[i].text, '\n', json_cases[i].size)) {
            check(&json_cases[i], "nixlog", shown == 0);
            assert_true(shown == 0 || shown == size);
        }
        nixlog_free(nixlog);
        free(text);
    }
}

/* ---- values ---- */

static json_object *read_text(const char *text)
{
    struct json_problem problem;
    json_object *value;

    assert_int_equal(json_read(text, strlen(text), 8, &value, &problem), 0);
    return value;
}

static void expect_bytes(const char *text, const char *bytes, size_t size)
{
    json_object *value = read_text(text);

    assert_int_equal(json_object_get_string_len(value), size);
    assert_memory_equal(json_object_get_string(value), bytes, size);
    json_object_put(value);
}
#define EXPECT_TEXT(text, bytes) expect_bytes(text, bytes, sizeof(bytes) - 1)

static void escapes_become_what_they_stand_for(void **state)
{
    (void)state;
    EXPECT_TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    EXPECT_TEXT("\"a\\u0000b\"", "a\0b");
    EXPECT_TEXT("\"\\u0041\\u00e9\\u2705\\ud83d\\ude80\"", "A\xc3\xa9\xe2\x9c\x85\xf0\x9f\x9a\x80");
    /* U+1D800: json-c before 0.19 takes the last 16 bits for half a pair */
    EXPECT_TEXT("\"\\ud836\\udc00\"", "\xf0\x9d\xa0\x80");
    EXPECT_TEXT("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf");
    EXPECT_TEXT("\"0123456789\\t0123456789\"", "0123456789\t0123456789");
}

static void half_a_surrogate_pair_becomes_a_replacement_character(void **state)
{
    (void)state;
    EXPECT_TEXT("\"\\udcff.\"", "\xef\xbf\xbd.");
    EXPECT_TEXT("\"\\ud800\\u0041\"", "\xef\xbf\xbd"
                                      "A");
    EXPECT_TEXT("\"\\ud83d\\ud83d\\ude80\"", "\xef\xbf\xbd\xf0\x9f\x9a\x80");
}

static void numbers_keep_their_value_and_their_text(void **state)
{
    json_object *list = read_text("[-9223372036854775808,9223372036854775807,"
                                  "18446744073709551615,-0,0.1,1e3,-1.50]");

    (void)state;
    assert_int_equal(json_object_get_int64(json_object_array_get_idx(list, 0)), INT64_MIN);
    assert_int_equal(json_object_get_int64(json_object_array_get_idx(list, 1)), INT64_MAX);
    assert_true(json_object_get_uint64(json_object_array_get_idx(list, 2)) == UINT64_MAX);
    assert_true(json_object_get_double(json_object_array_get_idx(list, 5)) == 1000.0);
    assert_string_equal(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN),
                        "[-9223372036854775808,9223372036854775807,18446744073709551615,0,0.1,1e3,"
                        "-1.50]");
    json_object_put(list);
}

static void a_problem_says_what_and_where(void **state)
{
    static const struct {
        const char *text, *reason;
        size_t at;
    } cases[] = {
        {"{\"a\":NaN}", "a value is expected", 5},
        {"{\"a\":-.5}", "a digit is expected", 6},
        {"{\"a\":1.}", "a digit is expected behind the point", 7},
        {"{\"a\":00.5}", "a number has a leading zero", 6},
        {"{\"a\":1e999}", "a number is out of range", 5},
        {"{\"a\":\"\xff\"}", "this is not valid UTF-8", 6},
        {"{\"a\":\"\t\"}", "a control character stands in a string without an escape", 6},
        {"{\"a\":1,\"a\":2}", "an object has two members of this name", 7},
        {"{\"a\":1,}", "a name in double quotes is expected", 7},
        {"{} x", "something follows the value", 3},
        {"{\"a\":[1 2]}", "a comma or ] is expected", 8},
        {"{\"a\":", "the text ends where a value is expected", 5},
        {"[[[[]]]]", "arrays and objects are nested too deeply", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_problem problem;
        json_object *value;

        assert_int_equal(json_read(cases[i].text, strlen(cases[i].text), 3, &value, &problem), -1);
        assert_null(value);
        assert_string_equal(problem.reason, cases[i].reason);
        assert_int_equal(problem.at, cases[i].at);
    }
}

/* ---- limits ---- */

static int depth_result(int nested, int depth)
{
    struct json_problem problem;
    json_object *value;
    char *text = malloc(2 * (size_t)nested);
    int result;

    assert_non_null(text);
    memset(text, '[', (size_t)nested);
    memset(text + nested, ']', (size_t)nested);
    result = json_read(text, 2 * (size_t)nested, depth, &value, &problem);
    json_object_put(value);
    free(text);
    return result;
}

static void depth_is_limited(void **state)
{
    (void)state;
    assert_int_equal(depth_result(6, 6), 0);
    assert_int_equal(depth_result(7, 6), -1);
    assert_int_equal(depth_result(JSON_DEPTH_MAX, 1000), 0);
    assert_int_equal(depth_result(JSON_DEPTH_MAX + 1, 1000), -1);
    assert_int_equal(depth_result(1000000, 6), -1);
    assert_int_equal(depth_result(1, 0), -1);
}

static void the_number_of_objects_is_limited(void **state)
{
    size_t size = 3 * (size_t)(JSON_OBJECTS_MAX + 1) + 1;
    char *text = malloc(size);
    struct json_problem problem;
    json_object *value;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i + 3 < size; i += 3)
        memcpy(text + i, ",{}", 3);
    text[0] = '[';
    text[size - 1] = ']';
    assert_int_equal(json_read(text, size, 2, &value, &problem), -1);
    assert_string_equal(problem.reason, "there are too many objects");
    memset(text + size - 4, ' ', 3);
    assert_int_equal(json_read(text, size, 2, &value, &problem), 0);
    assert_int_equal(json_object_array_length(value), JSON_OBJECTS_MAX);
    json_object_put(value);
    free(text);
}

/* The reader takes eight bytes of a string at a time, and must check each of them. */
static void every_byte_of_a_string_is_looked_at(void **state)
{
    char text[42];

    (void)state;
    for (size_t length = 1; length <= 40; length++)
        for (size_t at = 1; at <= length; at++)
            for (int byte = 0; byte < 256; byte++) {
                struct json_problem problem;
                json_object *value;
                bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

                memset(text, 'a', sizeof text);
                text[0] = text[length + 1] = '"';
                text[at] = (char)byte;
                if (length == at && byte == '\\')
                    continue; /* this would escape the closing quote */
                assert_int_equal(json_read(text, length + 2, 1, &value, &problem), plain ? 0 : -1);
                json_object_put(value);
            }
}

/* ---- memory ---- */

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
/* json-c's calls come here, too. Allocation number failing_allocation and all later ones fail; 0:
   none. */
static int failing_allocation;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool allocation_fails(void)
{
    if (failing_allocation > 1)
        failing_allocation--;
    else if (failing_allocation == 1)
        return true;
    return false;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __libc_realloc(memory, size);
}

static void out_of_memory_is_never_taken_for_bad_json(void **state)
{
    static const char text[] =
        "{\"run\":\"r\",\"lines\":[\"a\",\"b\\n\",\"c\",\"d\",\"e\"],\"load\":[0.5,1e3,7],"
        "\"exit\":{\"code\":0},\"times\":[[1,2],[3,4]],\"lost\":false,\"more\":null}";
    int failed = 0;

    (void)state;
    for (int first = 1;; first++) {
        struct json_problem problem;
        json_object *value;
        int result;

        failing_allocation = first;
        result = json_read(text, sizeof text - 1, 6, &value, &problem);
        failing_allocation = 0;
        if (result == 0) {
            json_object_put(value);
            break;
        }
        failed++;
        assert_true(problem.no_memory);
    }
    assert_true(failed > 20);
}
#else
static void out_of_memory_is_never_taken_for_bad_json(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_accepted_or_refused_as_the_standard_says),
        cmocka_unit_test(what_is_written_back_is_json_again),
        cmocka_unit_test(the_dashboard_reads_bodies_by_the_standard),
        cmocka_unit_test(the_helper_reads_answers_by_the_standard),
        cmocka_unit_test(nix_records_are_read_by_the_standard),
        cmocka_unit_test(escapes_become_what_they_stand_for),
        cmocka_unit_test(half_a_surrogate_pair_becomes_a_replacement_character),
        cmocka_unit_test(numbers_keep_their_value_and_their_text),
        cmocka_unit_test(a_problem_says_what_and_where),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(the_number_of_objects_is_limited),
        cmocka_unit_test(every_byte_of_a_string_is_looked_at),
        cmocka_unit_test(out_of_memory_is_never_taken_for_bad_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
