/* Reads the few fields of an answer. */
#include "answer.h"

#include <json-c/json.h>
#include <string.h>

#include "../../common/json_read.h"

#define WAIT_MAX_MS 30000
#define ANSWER_DEPTH 16

static int64_t int_member(struct json_object *object, const char *key)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_int))
        return -1;
    return json_object_get_int64(value) < 0 ? -1 : json_object_get_int64(value);
}

/* Copies a text for a terminal: one line, no control characters. */
static void printable(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++)
        out[n++] = (*text >= ' ' && *text <= '~') ? *text : '?';
    out[n] = '\0';
}

bool answer_parse(const char *body, size_t size, struct answer *answer)
{
    struct json_object *object, *value;
    struct json_problem problem;
    bool ok = false;

    *answer = (struct answer){.next = -1};
    if (json_read(body, size, ANSWER_DEPTH, &object, &problem) < 0)
        return false;
    if (json_object_is_type(object, json_type_object)) {
        ok = true;
        answer->next = int_member(object, "next");
        answer->wait_ms = int_member(object, "wait_ms");
        if (answer->wait_ms < 0)
            answer->wait_ms = 0;
        if (answer->wait_ms > WAIT_MAX_MS)
            answer->wait_ms = WAIT_MAX_MS;
        answer->stop = json_object_object_get_ex(object, "stop", &value) &&
                       json_object_is_type(value, json_type_boolean) &&
                       json_object_get_boolean(value);
        if (json_object_object_get_ex(object, "error", &value) &&
            json_object_is_type(value, json_type_string))
            printable(answer->error, sizeof answer->error, json_object_get_string(value));
    }
    json_object_put(object);
    return ok;
}
