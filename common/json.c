/* Building and reading JSON. */
#include "common/json.h"

#include <string.h>

#include "common/rfc3339.h"
#include "common/utf8.h"

#define NESTING_MAX 6

void text_json_bytes(struct text *text, const char *bytes, size_t size)
{
    text_puts(text, "\"");
    text_escape_markup(text, bytes, size);
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
    text_comma(text);
    text_json(text, key);
    text_puts(text, ":");
}

/* Returns null, and appends the member if it is not to be left out. */
static bool is_null(struct text *text, const char *key, bool null)
{
    if (null && !text->no_nulls) {
        text_key(text, key);
        text_puts(text, "null");
    }
    return null;
}

void text_key_json(struct text *text, const char *key, const char *string)
{
    if (is_null(text, key, !string))
        return;
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
    if (is_null(text, key, !json || !*json))
        return;
    text_key(text, key);
    text_puts(text, json);
}

void text_key_time(struct text *text, const char *key, int64_t ms)
{
    char time[RFC3339_SIZE];

    if (is_null(text, key, ms <= 0))
        return;
    text_key(text, key);
    rfc3339_format(ms, time);
    text_json(text, time);
}

void text_key_v1_time(struct text *text, const char *key, int64_t ms)
{
    char time[RFC3339_SIZE];

    if (is_null(text, key, ms <= 0))
        return;
    text_key(text, key);
    rfc3339_format(ms, time);
    text_printf(text, "\"%.23s000\"", time);
}

json_object *body_parse(const char *bytes, size_t size, struct json_problem *problem)
{
    json_object *object;

    if (json_read(bytes, size, NESTING_MAX, &object, problem) < 0)
        return NULL;
    if (json_object_is_type(object, json_type_object))
        return object;
    json_object_put(object);
    problem->reason = "it is not an object";
    return NULL;
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
        *why = name; /* the string has a NUL */
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
