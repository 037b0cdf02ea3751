/* JSON: an accepted value is valid UTF-8, and is the same after writing and reading again. A
   refused text has a reason and a position. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/utf8.h"

#define DEPTH 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct json_problem problem;
    json_object *value, *again;
    const char *text;

    if (json_read((const char *)bytes, size, DEPTH, &value, &problem) < 0) {
        if (value || !problem.reason || problem.at > size || problem.no_memory)
            abort();
        return 0;
    }
    if (!utf8_valid((const char *)bytes, size))
        abort();
    text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    if (json_read(text, strlen(text), DEPTH, &again, &problem) < 0 ||
        !json_object_equal(value, again))
        abort();
    json_object_put(value);
    json_object_put(again);
    return 0;
}
