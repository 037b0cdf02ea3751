/* Bodies of requests: any body is either refused with a reason or becomes an object of valid UTF-8.
   The functions that cut and strip the text of lines do not leave the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "dashboard/store/lines.h"

static void check_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    int64_t count = lines_count(text, size);
    size_t stripped;

    if (lines_prefix(text, size, count) != size || lines_prefix(text, size, 0) != 0 ||
        lines_prefix(text, size, 1) > size)
        abort();
    for (int64_t lines = 1; lines < count && lines < 50; lines++)
        if (lines_count(text, lines_prefix(text, size, lines)) != lines)
            abort();
    if (!copy)
        return;
    memcpy(copy, text, size);
    stripped = lines_strip(copy, size);
    if (stripped > size || lines_count(copy, stripped) > count)
        abort();
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *why = NULL, *string = NULL;
    int64_t number = 0;
    struct json_problem problem;
    json_object *object = body_parse((const char *)bytes, size, &problem);
    struct text out = {0};

    if (!object && !problem.reason)
        abort();
    if (object) {
        if (!utf8_valid((const char *)bytes, size))
            abort();
        if (field_string(object, "text", &string, &why))
            check_text(string, strlen(string));
        field_int(object, "from", &number, &why);
        json_object_put(object);
    }
    check_text((const char *)bytes, size);
    text_json_bytes(&out, (const char *)bytes, size);
    if (size < 1000 && utf8_valid((const char *)bytes, size) &&
        !out.failed) { /* the written text must read back as the same value */
        json_object *back;

        if (json_read(out.bytes, out.size, 1, &back, &problem) < 0 ||
            (size_t)json_object_get_string_len(back) != size ||
            memcmp(json_object_get_string(back), bytes, size) != 0)
            abort();
        json_object_put(back);
    }
    text_free(&out);
    return 0;
}
