/* One walk over a body with a table of limits. */
#include "dashboard/api/clean.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define CUT_MARK "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"

/* The limits of one field: for each string in it, for the entries of each list, and for its whole
 * JSON. 0: no limit. */
struct limits {
    const char *name;
    size_t string, entries, json;
    bool has_lines;
};

/* nixfleet-run sends smaller ones. A list of hosts contains most of these fields for each host, so
 * they must be small. */
static const struct limits fields[] = {
    {.name = "command", .string = 16384},
    {.name = "argv", .string = 4096, .entries = 256, .json = 65536, .has_lines = true},
    {.name = "error", .string = 4096},
    {.name = "failed", .string = 256, .entries = 100, .json = 65536},
    {.name = "failed_units", .string = 256, .entries = 100, .json = 65536},
    {.name = "progress", .string = 1024, .entries = 100, .json = 16384},
    {.name = "metrics", .string = 256, .entries = 100, .json = 4096},
    {.name = "exit", .string = 256, .json = 4096},
    {.name = "name", .string = 128},
    {.name = "user", .string = 128},
    {.name = "output", .string = 40000, .has_lines = true},
};
static const struct limits standard = {.string = 4096, .entries = 10000};

static const struct limits *limits_of(const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return &standard;
}

/* The length of the character at text if it must not be shown; else 0. text is UTF-8. */
static size_t harmful(const char *text, size_t size, bool has_lines)
{
    const unsigned char *c = (const unsigned char *)text;

    if (c[0] < 0x20 || c[0] == 0x7f)
        return has_lines && (c[0] == '\n' || c[0] == '\t') ? 0 : 1;
    /* U+0080 to U+009F: U+009B means the same as ESC [ */
    if (c[0] == 0xc2 && size > 1 && c[1] < 0xa0)
        return 2;
    /* U+202A to U+202E and U+2066 to U+2069 change the direction of the text that follows */
    if (c[0] == 0xe2 && size > 2 &&
        ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
         (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)))
        return 3;
    return 0;
}

static bool is_blank(char c)
{
    return c == '\n' || c == '\r' || c == '\t';
}

static bool is_harmless(const char *text, size_t size, bool has_lines)
{
    for (size_t i = 0; i < size; i++)
        if (harmful(text + i, size - i, has_lines))
            return false;
    return true;
}

/* The length of a complete escape sequence at text: CSI (colours, cursor) or OSC (title, link). 0:
 * none. */
static size_t sequence_length(const char *text, size_t size)
{
    size_t i = 2;

    if (size < 3 || text[0] != '\033')
        return 0;
    if (text[1] == '[') {
        while (i < size && text[i] >= 0x20 && text[i] <= 0x3f)
            i++;
        return i < size && text[i] >= 0x40 && text[i] <= 0x7e ? i + 1 : 0;
    }
    if (text[1] == ']') {
        for (; i < size; i++)
            if (text[i] == '\a')
                return i + 1;
            else if (text[i] == '\033')
                return i + 1 < size && text[i + 1] == '\\' ? i + 2 : 0;
    }
    return 0;
}

/* Writes the harmless form of text to out, which must have space for three times its size. Returns
 * the length. */
static size_t write_harmless(const char *text, size_t size, bool has_lines, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < size;) {
        size_t bad = harmful(text + i, size - i, has_lines),
               sequence = bad ? sequence_length(text + i, size - i) : 0;

        if (bad == 0) {
            out[length++] = text[i++];
            continue;
        }
        if (sequence) {
            i += sequence;
            continue;
        }
        if (is_blank(text[i])) {
            out[length++] = ' ';
        } else {
            memcpy(out + length, REPLACEMENT, 3);
            length += 3;
        }
        i += bad;
    }
    return length;
}

static bool clean_string(json_object *value, const struct limits *limits)
{
    const char *text = json_object_get_string(value);
    size_t size = (size_t)json_object_get_string_len(value), length;
    char *copy;
    bool done;

    if (size <= limits->string && is_harmless(text, size, limits->has_lines))
        return true;
    copy = malloc(3 * size + sizeof CUT_MARK);
    if (!copy)
        return false;
    length = write_harmless(text, size, limits->has_lines, copy);
    if (length > limits->string) {
        length = utf8_cut(copy, length, limits->string - strlen(CUT_MARK));
        memcpy(copy + length, CUT_MARK, strlen(CUT_MARK));
        length += strlen(CUT_MARK);
    }
    done = json_object_set_string_len(value, copy, (int)length) == 1;
    free(copy);
    return done;
}

/* Recursion is safe: the parser limits the depth of a body. */
static bool clean_value(json_object *value, const struct limits *limits)
{
    if (json_object_is_type(value, json_type_string))
        return clean_string(value, limits);
    if (json_object_is_type(value, json_type_array)) {
        size_t count = json_object_array_length(value);

        if (count > limits->entries)
            json_object_array_del_idx(value, limits->entries, count - limits->entries);
        for (size_t i = 0; i < json_object_array_length(value); i++)
            if (!clean_value(json_object_array_get_idx(value, i), limits))
                return false;
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, key, member)
        {
            if (!is_harmless(key, strlen(key), false))
                json_object_object_del(value, key);
            else if (!clean_value(member, limits))
                return false;
        }
    }
    return true;
}

const char *body_clean(json_object *object, size_t *limit)
{
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    json_object_object_foreach(object, key, value)
    {
        const struct limits *limits = limits_of(key);

        if (strcmp(key, "text") == 0 || strcmp(key, "lines") == 0 || strcmp(key, "times") == 0 ||
            strcmp(key, "build_logs") == 0)
            continue;
        if (!clean_value(value, limits))
            return "";
        if (limits->json) {
            const char *json = json_object_to_json_string_ext(
                value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

            *limit = limits->json;
            if (!json || strlen(json) > limits->json)
                return json ? limits->name : "";
        }
    }
    return NULL;
}

bool clean_or_answer(struct request *request, json_object *object, unsigned status)
{
    size_t limit;
    const char *field = body_clean(object, &limit);

    if (!field)
        return true;
    if (!*field)
        answer_no_memory(request);
    else if (status == 400)
        answer_error(request, status, "%s: expected at most %zu bytes", field, limit);
    else
        answer_detail(request, status, "%s: expected at most %zu bytes", field, limit);
    return false;
}

bool validate_or_answer(struct request *request, json_object *object,
                        const struct field_rule *rules)
{
    struct text answer = {0};

    if (validate_body(object, rules, &answer))
        return true;
    answer_text(request, &answer);
    request->answer.status = 422;
    return false;
}
