/* One pass over the text, without recursion: a stack holds the open arrays and objects. Strings are
   read eight bytes at a time, because the bodies that a dashboard receives are almost only
   strings. */
#include "json_read.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

struct buffer {
    char *bytes;
    size_t size, capacity;
};

struct reader {
    const char *start, *at, *end;
    struct json_problem *problem;
    json_object *open[JSON_DEPTH_MAX]; /* the outermost first */
    int depth, depth_max, objects;
    struct buffer name;    /* the name of the member whose value comes next; ends with a NUL */
    struct buffer scratch; /* a string without its escapes, or a number with a NUL */
};

static int refuse(struct reader *reader, const char *reason)
{
    reader->problem->reason = reason;
    reader->problem->at = (size_t)(reader->at - reader->start);
    return -1;
}

static int no_memory(struct reader *reader)
{
    reader->problem->no_memory = true;
    return refuse(reader, "out of memory");
}

static int append(struct reader *reader, struct buffer *buffer, const char *bytes, size_t size)
{
    if (buffer->capacity - buffer->size < size) {
        size_t capacity = buffer->size + size < 128 ? 256 : 2 * (buffer->size + size);
        char *grown = realloc(buffer->bytes, capacity);

        if (!grown)
            return no_memory(reader);
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    if (size > 0)
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    return 0;
}

/* The next byte, or -1 at the end. */
static int peek(const struct reader *reader)
{
    return reader->at < reader->end ? (unsigned char)*reader->at : -1;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

/* ---- strings ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* A word whose top bits mark the bytes that are less than limit (at most 0x80). Bytes above such a
   byte may be marked wrongly. */
static uint64_t bytes_below(uint64_t word, uint64_t limit)
{
    return (word - EACH(limit)) & ~word & EACH(0x80);
}

/* Skips bytes that mean themselves: ASCII without controls, quotes and backslashes. */
static const char *skip_plain(const char *p, const char *end)
{
    uint64_t word;

    for (; (size_t)(end - p) >= sizeof word; p += sizeof word) {
        memcpy(&word, p, sizeof word);
        if ((word & EACH(0x80)) | bytes_below(word, ' ') | bytes_below(word ^ EACH('"'), 1) |
            bytes_below(word ^ EACH('\\'), 1))
            break;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

/* Skips characters outside ASCII; stops at bytes that are not UTF-8. */
static const char *skip_wide(const char *p, const char *end)
{
    while (p < end && (unsigned char)*p >= 0x80) {
        size_t length = utf8_length(p, (size_t)(end - p));

        if (length == 0)
            break;
        p += length;
    }
    return p;
}

/* Moves to the next quote or backslash. */
static int skip_characters(struct reader *reader)
{
    const char *from;

    do {
        from = reader->at;
        reader->at = skip_wide(skip_plain(from, reader->end), reader->end);
    } while (reader->at > from);
    if (reader->at == reader->end)
        return refuse(reader, "the text ends inside of a string");
    if (*reader->at == '"' || *reader->at == '\\')
        return 0;
    return refuse(reader, (unsigned char)*reader->at < 0x20
                              ? "a control character stands in a string without an escape"
                              : "this is not valid UTF-8");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The value of the four digits behind the \u at `at`; -1 if they are not hex digits. */
static int32_t escaped_unit(const struct reader *reader, const char *at)
{
    int32_t unit = 0;

    if (reader->end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

#define REPLACEMENT 0xfffd

static int unescape_unicode(struct reader *reader, struct buffer *out)
{
    int32_t code = escaped_unit(reader, reader->at), low;
    char bytes[4];
    size_t size;

    if (code < 0)
        return refuse(reader, "four hexadecimal digits are expected behind \\u");
    reader->at += 6;
    if (code >= 0xd800 && code < 0xdc00) {
        low = escaped_unit(reader, reader->at);
        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            reader->at += 6;
        }
    }
    if (code >= 0xd800 && code < 0xe000)
        code = REPLACEMENT;
    size = utf8_encode((uint32_t)code, bytes);
    return append(reader, out, bytes, size);
}

/* Reads the escape at reader->at. */
static int unescape(struct reader *reader, struct buffer *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *escape;

    if (reader->end - reader->at < 2)
        return refuse(reader, "the text ends inside of a string");
    if (reader->at[1] == 'u')
        return unescape_unicode(reader, out);
    escape = memchr(from, reader->at[1], sizeof from - 1);
    if (!escape)
        return refuse(reader, "JSON has no such escape");
    reader->at += 2;
    return append(reader, out, to + (escape - from), 1);
}

/* Copies the string that begins at from, up to its closing quote, without its escapes. */
static int unescape_string(struct reader *reader, const char *from, struct buffer *out)
{
    out->size = 0;
    for (;;) {
        if (append(reader, out, from, (size_t)(reader->at - from)) < 0)
            return -1;
        if (*reader->at == '"')
            return 0;
        if (unescape(reader, out) < 0)
            return -1;
        from = reader->at;
        if (skip_characters(reader) < 0)
            return -1;
    }
}

/* Reads the string whose opening quote is at reader->at. *bytes points into the text, or into
   scratch if the string has escapes. */
static int read_string(struct reader *reader, const char **bytes, size_t *size)
{
    const char *from = ++reader->at;

    if (skip_characters(reader) < 0)
        return -1;
    *bytes = from;
    *size = (size_t)(reader->at - from);
    if (*reader->at == '\\') {
        if (unescape_string(reader, from, &reader->scratch) < 0)
            return -1;
        *bytes = reader->scratch.bytes;
        *size = reader->scratch.size;
    }
    reader->at++;
    return 0;
}

/* ---- numbers ---- */

static bool digit(const struct reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static void skip_digits(struct reader *reader)
{
    while (digit(reader))
        reader->at++;
}

/* Moves behind a number. *integer: whether it has neither fraction nor exponent. */
static int skip_number(struct reader *reader, bool *integer)
{
    if (peek(reader) == '-')
        reader->at++;
    if (!digit(reader))
        return refuse(reader, "a digit is expected");
    if (*reader->at == '0') {
        reader->at++;
        if (digit(reader))
            return refuse(reader, "a number has a leading zero");
    }
    skip_digits(reader);
    *integer = true;
    if (peek(reader) == '.') {
        *integer = false;
        reader->at++;
        if (!digit(reader))
            return refuse(reader, "a digit is expected behind the point");
        skip_digits(reader);
    }
    if (peek(reader) == 'e' || peek(reader) == 'E') {
        *integer = false;
        reader->at++;
        if (peek(reader) == '+' || peek(reader) == '-')
            reader->at++;
        if (!digit(reader))
            return refuse(reader, "a digit is expected in the exponent");
        skip_digits(reader);
    }
    return 0;
}

static int out_of_range(struct reader *reader, const char *number)
{
    reader->at = number;
    return refuse(reader, "a number is out of range");
}

/* Makes an integer from the digits between `number` and reader->at. */
static int make_integer(struct reader *reader, const char *number, json_object **out)
{
    bool negative = *number == '-', fits = true;
    uint64_t value = 0;

    for (const char *at = number + negative; at < reader->at; at++)
        fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
    if (!fits || (negative && value > (uint64_t)INT64_MAX + 1))
        return out_of_range(reader, number);
    if (negative)
        *out = json_object_new_int64((int64_t)(0 - value));
    else if (value <= INT64_MAX)
        *out = json_object_new_int64((int64_t)value);
    else
        *out = json_object_new_uint64(value);
    return *out ? 0 : no_memory(reader);
}

static int make_double(struct reader *reader, const char *number, json_object **out)
{
    struct buffer *text = &reader->scratch;
    double value;

    text->size = 0;
    if (append(reader, text, number, (size_t)(reader->at - number)) < 0 ||
        append(reader, text, "", 1) < 0)
        return -1;
    value = strtod(text->bytes, NULL);
    if (!isfinite(value))
        return out_of_range(reader, number);
    /* json-c writes the number as it was read */
    *out = json_object_new_double_s(value, text->bytes);
    return *out ? 0 : no_memory(reader);
}

static int read_number(struct reader *reader, json_object **out)
{
    const char *number = reader->at;
    bool integer;

    if (skip_number(reader, &integer) < 0)
        return -1;
    return integer ? make_integer(reader, number, out) : make_double(reader, number, out);
}

/* ---- values ---- */

static int read_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return refuse(reader, "a value is expected");
    reader->at += length;
    return 0;
}

static int read_boolean(struct reader *reader, bool value, json_object **out)
{
    if (read_word(reader, value ? "true" : "false") < 0)
        return -1;
    *out = json_object_new_boolean(value);
    return *out ? 0 : no_memory(reader);
}

static int read_text(struct reader *reader, json_object **out)
{
    const char *bytes;
    size_t size;

    if (read_string(reader, &bytes, &size) < 0)
        return -1;
    *out = json_object_new_string_len(bytes, (int)size);
    return *out ? 0 : no_memory(reader);
}

static int read_scalar(struct reader *reader, json_object **out)
{
    switch (peek(reader)) {
    case '"':
        return read_text(reader, out);
    case 't':
        return read_boolean(reader, true, out);
    case 'f':
        return read_boolean(reader, false, out);
    case 'n':
        return read_word(reader, "null");
    case -1:
        return refuse(reader, "the text ends where a value is expected");
    default:
        if (peek(reader) == '-' || digit(reader))
            return read_number(reader, out);
        return refuse(reader, "a value is expected");
    }
}

/* Creates the array or object whose bracket is at reader->at. */
static int make_container(struct reader *reader, json_object **out)
{
    if (reader->depth == reader->depth_max)
        return refuse(reader, "arrays and objects are nested too deeply");
    if (*reader->at == '{' && ++reader->objects > JSON_OBJECTS_MAX)
        return refuse(reader, "there are too many objects");
    /* Space for two: most arrays are pairs of numbers, and json-c doubles the space of long
     * ones. */
    *out = *reader->at == '{' ? json_object_new_object() : json_object_new_array_ext(2);
    if (!*out)
        return no_memory(reader);
    reader->at++;
    return 0;
}

static json_object *innermost(const struct reader *reader)
{
    return reader->depth ? reader->open[reader->depth - 1] : NULL;
}

static bool in_object(const struct reader *reader)
{
    return json_object_is_type(innermost(reader), json_type_object);
}

/* Reads a member's name and the colon behind it. */
static int read_name(struct reader *reader)
{
    const char *bytes, *from;
    size_t size;

    skip_space(reader);
    from = reader->at;
    if (peek(reader) != '"')
        return refuse(reader, "a name in double quotes is expected");
    if (read_string(reader, &bytes, &size) < 0)
        return -1;
    reader->name.size = 0;
    if (append(reader, &reader->name, bytes, size) < 0 || append(reader, &reader->name, "", 1) < 0)
        return -1;
    if (memchr(bytes, '\0', size)) {
        reader->at = from;
        return refuse(reader, "a name has a NUL in it");
    }
    if (json_object_object_get_ex(innermost(reader), reader->name.bytes, NULL)) {
        reader->at = from;
        return refuse(reader, "an object has two members of this name");
    }
    skip_space(reader);
    if (peek(reader) != ':')
        return refuse(reader, "a colon is expected");
    reader->at++;
    return 0;
}

/* Adds value to the innermost open array or object. */
static int attach(struct reader *reader, json_object *value)
{
    json_object *parent = innermost(reader);
    int result = !parent             ? 0
                 : in_object(reader) ? json_object_object_add_ex(parent, reader->name.bytes, value,
                                                                 JSON_C_OBJECT_ADD_KEY_IS_NEW)
                                     : json_object_array_add(parent, value);

    if (result == 0)
        return 0;
    json_object_put(value);
    return no_memory(reader);
}

static int close_container(struct reader *reader)
{
    reader->at++;
    reader->depth--;
    return 0;
}

/* Reads the closing bracket or the comma behind a value. *more: whether a value must follow. */
static int read_separator(struct reader *reader, bool *more)
{
    int closing = in_object(reader) ? '}' : ']', c;

    skip_space(reader);
    c = peek(reader);
    *more = c == ',';
    if (c == closing)
        return close_container(reader);
    if (c == -1)
        return refuse(reader, "the text ends inside of an array or object");
    if (c != ',')
        return refuse(reader,
                      closing == '}' ? "a comma or } is expected" : "a comma or ] is expected");
    reader->at++;
    return closing == '}' ? read_name(reader) : 0;
}

/* Opens the array or object at reader->at. *more: whether a value must follow. */
static int open_container(struct reader *reader, json_object **root, bool *more)
{
    json_object *container = NULL;

    if (make_container(reader, &container) < 0 || attach(reader, container) < 0)
        return -1;
    if (!*root)
        *root = container;
    reader->open[reader->depth++] = container;
    skip_space(reader);
    *more = peek(reader) != (in_object(reader) ? '}' : ']');
    if (!*more)
        return close_container(reader);
    return in_object(reader) ? read_name(reader) : 0;
}

static int read_value(struct reader *reader, json_object **root, bool *more)
{
    json_object *value = NULL;

    skip_space(reader);
    *more = false;
    if (peek(reader) == '{' || peek(reader) == '[')
        return open_container(reader, root, more);
    if (read_scalar(reader, &value) < 0 || attach(reader, value) < 0)
        return -1;
    if (reader->depth == 0)
        *root = value;
    return 0;
}

static int read_document(struct reader *reader, json_object **root)
{
    bool more;

    do {
        if (read_value(reader, root, &more) < 0)
            return -1;
        while (!more && reader->depth > 0)
            if (read_separator(reader, &more) < 0)
                return -1;
    } while (more);
    skip_space(reader);
    return reader->at < reader->end ? refuse(reader, "something follows the value") : 0;
}

int json_read(const char *text, size_t size, int depth, json_object **out,
              struct json_problem *problem)
{
    struct reader reader = {.start = text,
                            .at = text,
                            .end = text + size,
                            .problem = problem,
                            .depth_max = depth < JSON_DEPTH_MAX ? depth : JSON_DEPTH_MAX};
    json_object *root = NULL;
    int result;

    *problem = (struct json_problem){0};
    *out = NULL;
    result =
        size > INT32_MAX ? refuse(&reader, "the text is too long") : read_document(&reader, &root);
    free(reader.name.bytes);
    free(reader.scratch.bytes);
    if (result < 0) {
        json_object_put(root);
        return -1;
    }
    *out = root;
    return 0;
}
