/* JSON out, by a growing buffer, and JSON in, with the checks that every call needs. */
#ifndef NIXFLEET_COMMON_JSON_H
#define NIXFLEET_COMMON_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json_read.h"
#include "common/json_write.h"

/* A JSON string with its quotes, by text_escape_markup. A NULL string gives null. */
void text_json_bytes(struct text *text, const char *bytes, size_t size);
void text_json(struct text *text, const char *string);
/* `"key":` with a comma in front unless it is the first of its object. */
void text_key(struct text *text, const char *key);
void text_key_json(struct text *text, const char *key, const char *string);
void text_key_int(struct text *text, const char *key, int64_t value);
/* A value that is JSON already; null where it is NULL or "". */
void text_key_raw(struct text *text, const char *key, const char *json);
/* A time in ms as an RFC 3339 string; null for 0. */
void text_key_time(struct text *text, const char *key, int64_t ms);
/* The same in v1's form: microseconds, and no zone. */
void text_key_v1_time(struct text *text, const char *key, int64_t ms);

/* Parses a body: an object, nested at most 6 deep (json_read has the rest). The caller puts it.
 * NULL with *problem: out of memory is no fault of the body, and must not be answered as one. */
json_object *body_parse(const char *bytes, size_t size, struct json_problem *problem);
/* Fields of an object. Absent and null are the same: false, and *out stays. A wrong type sets *why
 * to the name of the field (and returns false). */
bool field_string(json_object *object, const char *name, const char **out, const char **why);
bool field_int(json_object *object, const char *name, int64_t *out, const char **why);
bool field_typed(json_object *object, const char *name, enum json_type type, json_object **out,
                 const char **why);

/* The same where the form has been checked: a string field, or NULL; a number, or the standard. */
const char *body_text(json_object *object, const char *name);
int64_t body_number(json_object *object, const char *name, int64_t standard);
/* For request_submit: puts the json_object. */
void body_free(void *object);

#endif
