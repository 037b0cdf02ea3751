/* Writing JSON into a growing buffer, and reading JSON with the checks that every request needs. */
#ifndef NIXFLEET_COMMON_JSON_H
#define NIXFLEET_COMMON_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json_read.h"
#include "common/json_write.h"

/* Appends a JSON string with its quotes; escapes as text_escape_markup. NULL becomes null. */
void text_json_bytes(struct text *text, const char *bytes, size_t size);
void text_json(struct text *text, const char *string);
/* Appends `"key":` and a value, with a comma in front unless it is the first member of its object.
 * If text->no_nulls is set, a member whose value would be null is left out. */
void text_key(struct text *text, const char *key);
void text_key_json(struct text *text, const char *key, const char *string);
void text_key_int(struct text *text, const char *key, int64_t value);
/* The value is JSON already; NULL and "" become null. */
void text_key_raw(struct text *text, const char *key, const char *json);
/* The value is a time in milliseconds, written as an RFC 3339 string; 0 becomes null. */
void text_key_time(struct text *text, const char *key, int64_t ms);
/* Does the same in v1's form: microseconds, and no zone. */
void text_key_v1_time(struct text *text, const char *key, int64_t ms);

/* Parses a request body: an object, at most 6 levels deep (see json_read). The caller frees the
 * object with json_object_put. NULL with *problem on failure. If problem->no_memory is set, the
 * body is not wrong and must not be refused as such. */
json_object *body_parse(const char *bytes, size_t size, struct json_problem *problem);
/* Reads a field of an object. If the field is absent or null, returns false and leaves *out. If the
 * type is wrong, returns false and sets *why to the name of the field. */
bool field_string(json_object *object, const char *name, const char **out, const char **why);
bool field_int(json_object *object, const char *name, int64_t *out, const char **why);
bool field_typed(json_object *object, const char *name, enum json_type type, json_object **out,
                 const char **why);

/* For a body that has been checked: a string field, or NULL; a number, or `standard` if the field
 * is absent. */
const char *body_text(json_object *object, const char *name);
int64_t body_number(json_object *object, const char *name, int64_t standard);
/* Frees a body; for request_submit. */
void body_free(void *object);

#endif
