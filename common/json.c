/* Building and reading JSON. */
#include "common/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

#define NESTING_MAX 6

static bool make_room(struct text *text, size_t size)
{
    size_t room = text->room ? text->room : 256;
    char *grown;

    if (text->failed)
        return false;
    if (text->size + size <= text->room)
        return true;
    while (room < text->size + size)
        room *= 2;
    grown = realloc(text->bytes, room);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->bytes = grown;
    text->room = room;
    return true;
}

void text_add(struct text *text, const char *bytes, size_t size)
{
    if (size > 0 && make_room(text, size)) {
        memcpy(text->bytes + text->size, bytes, size);
        text->size += size;
    }
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (length > 0)
        text_add(text, buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != 0x7f;
}

void text_json_bytes(struct text *text, const char *bytes, size_t size)
{
    size_t start = 0;

    text_puts(text, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (plain(c))
            continue;
        text_add(text, bytes + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\')
            text_printf(text, "\\%c", c);
        else if (c == '\n')
            text_puts(text, "\\n");
        else
            text_printf(text, "\\u%04x", c);
    }
    text_add(text, bytes + start, size - start);
    text_puts(text, "\"");
}

void text_json(struct text *text, const char *string)
{
    if (string)
        text_json_bytes(text, string, strlen(string));
    else
        text_puts(text, "null");
}

void text_key(struct text *text, const char *key)
{
    char last = text->size ? text->bytes[text->size - 1] : '{';

    if (last != '{' && last != '[')
        text_puts(text, ",");
    text_json(text, key);
    text_puts(text, ":");
}

void text_key_json(struct text *text, const char *key, const char *string)
{
    text_key(text, key);
    text_json(text, string);
}

void text_key_int(struct text *text, const char *key, int64_t value)
{
    text_key(text, key);
    text_printf(text, "%lld", (long long)value);
}

void text_key_raw(struct text *text, const char *key, const char *json)
{
    text_key(text, key);
    text_puts(text, json && *json ? json : "null");
}

void text_key_time(struct text *text, const char *key, int64_t ms)
{
    char time[RFC3339_SIZE];

    text_key(text, key);
    if (ms <= 0) {
        text_puts(text, "null");
        return;
    }
    format_rfc3339(ms, time);
    text_json(text, time);
}

void text_key_v1_time(struct text *text, const char *key, int64_t ms)
{
    char time[RFC3339_SIZE];

    text_key(text, key);
    format_rfc3339(ms, time);
    if (ms > 0)
        text_printf(text, "\"%.23s000\"", time);
    else
        text_puts(text, "null");
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

/* Behind the ASCII that p begins with, eight bytes at a time: most bodies are nothing else. */
static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
    uint64_t eight;

    while ((size_t)(end - p) >= sizeof eight) {
        memcpy(&eight, p, sizeof eight);
        if (eight & UINT64_C(0x8080808080808080))
            break;
        p += sizeof eight;
    }
    return p;
}

bool utf8_valid(const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + size;

    while ((p = skip_ascii(p, end)) < end) {
        unsigned char c = *p++;
        int more = c < 0x80                ? 0
                   : c >= 0xc2 && c < 0xe0 ? 1
                   : c >= 0xe0 && c < 0xf0 ? 2
                   : c >= 0xf0 && c < 0xf5 ? 3
                                           : -1;

        if (more < 0 || end - p < more)
            return false;
        if ((c == 0xe0 && *p < 0xa0) || (c == 0xed && *p > 0x9f) || (c == 0xf0 && *p < 0x90) ||
            (c == 0xf4 && *p > 0x8f))
            return false; /* overlong, a surrogate, or beyond U+10FFFF */
        for (; more > 0; more--)
            if ((*p++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

json_object *body_parse(const char *bytes, size_t size, const char **why)
{
    json_tokener *tokener;
    json_object *object;
    size_t end;

    if (!utf8_valid(bytes, size)) {
        *why = "the body is not valid UTF-8";
        return NULL;
    }
    if (!(tokener = json_tokener_new_ex(NESTING_MAX))) {
        *why = "out of memory";
        return NULL;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    object = json_tokener_parse_ex(tokener, bytes, (int)size);
    if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
        object = json_tokener_parse_ex(tokener, "", -1);
    end = json_tokener_get_parse_end(tokener);
    while (end < size && strchr(" \t\r\n", bytes[end]) && bytes[end])
        end++;
    *why = !object && json_tokener_get_error(tokener) == json_tokener_error_depth
               ? "the body is nested too deeply"
           : !object    ? "the body is not JSON"
           : end < size ? "something follows the JSON of the body"
                        : NULL;
    if (object && !*why && !json_object_is_type(object, json_type_object))
        *why = "the body is not a JSON object";
    json_tokener_free(tokener);
    if (*why) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

bool field_typed(json_object *object, const char *name, enum json_type type, json_object **out,
                 const char **why)
{
    json_object *value;

    if (!json_object_object_get_ex(object, name, &value) || !value)
        return false;
    if (!json_object_is_type(value, type)) {
        *why = name;
        return false;
    }
    *out = value;
    return true;
}

bool field_string(json_object *object, const char *name, const char **out, const char **why)
{
    json_object *value;

    if (!field_typed(object, name, json_type_string, &value, why))
        return false;
    if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
        *why = name; /* a NUL inside */
        return false;
    }
    *out = json_object_get_string(value);
    return true;
}

bool field_int(json_object *object, const char *name, int64_t *out, const char **why)
{
    json_object *value;

    if (!field_typed(object, name, json_type_int, &value, why))
        return false;
    *out = json_object_get_int64(value);
    return true;
}

const char *body_text(json_object *object, const char *name)
{
    const char *why = NULL, *out = NULL;

    field_string(object, name, &out, &why);
    return out;
}

int64_t body_number(json_object *object, const char *name, int64_t standard)
{
    const char *why = NULL;
    int64_t out = standard;

    field_int(object, name, &out, &why);
    return out;
}

void body_free(void *object)
{
    json_object_put(object);
}
