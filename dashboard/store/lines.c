#include "dashboard/store/lines.h"

#include <string.h>

#include "common/hyperlink.h"
#include "common/io.h"

#define TIMES_DEPTH 2 /* a list of pairs */

int64_t lines_count(const char *text, size_t size)
{
    return 1 + (int64_t)count_lf(text, size);
}

size_t lines_prefix(const char *text, size_t size, int64_t count)
{
    const char *at = text, *end = text + size;

    for (; count > 0; count--) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));

        if (!lf)
            return size;
        if (count == 1)
            return (size_t)(lf - text);
        at = lf + 1;
    }
    return 0;
}

size_t lines_strip(char *text, size_t size)
{
    size_t to = 0, link;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\033' && (link = hyperlink_length(text + i, size - i)) > 0) {
            i += link - 1;
            continue;
        }
        if (text[i] == '\033' && i + 1 < size && text[i + 1] == '[') {
            for (i += 2; i < size &&
                         ((text[i] >= '0' && text[i] <= '9') || text[i] == ';' || text[i] == ':');
                 i++)
                ;
            continue; /* the final byte is removed, too */
        }
        text[to++] = text[i];
    }
    return to;
}

/* The times as a list, which the caller frees with json_object_put; NULL: none. */
static json_object *read_times(const char *times)
{
    struct json_problem problem;
    json_object *list = NULL;

    if (times)
        json_read(times, strlen(times), TIMES_DEPTH, &list, &problem);
    return list;
}

void times_slice(struct text *out, const char *times, int64_t skip, int64_t take)
{
    json_object *list = read_times(times);
    size_t length = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < length && take > 0; i++) {
        json_object *pair = json_object_array_get_idx(list, i);
        int64_t n = json_object_get_int64(json_object_array_get_idx(pair, 0));

        if (n <= skip) {
            skip -= n;
            continue;
        }
        n = n - skip < take ? n - skip : take;
        skip = 0;
        take -= n;
        text_printf(out, "%s[%lld,%lld]", out->size ? "," : "", (long long)n,
                    (long long)json_object_get_int64(json_object_array_get_idx(pair, 1)));
    }
    json_object_put(list);
}

void times_move(struct text *out, const char *times, int64_t ms)
{
    json_object *list = read_times(times);
    size_t length = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    text_puts(out, "[");
    for (size_t i = 0; i < length; i++) {
        json_object *pair = json_object_array_get_idx(list, i);

        text_printf(out, "%s[%lld,%lld]", i ? "," : "",
                    (long long)json_object_get_int64(json_object_array_get_idx(pair, 0)),
                    (long long)json_object_get_int64(json_object_array_get_idx(pair, 1)) + ms);
    }
    text_puts(out, "]");
    json_object_put(list);
}
