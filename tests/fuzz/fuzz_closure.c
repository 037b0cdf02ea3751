/* What nix-store -q reports of two closures: any text becomes valid JSON, and every path is counted
   once. The input: the answers of --requisites for the old and the new closure, and of --size, with
   a NUL between. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "changes/closure.h"
#include "common/json_read.h"

/* The text up to the next NUL, as a string of its own. */
static char *take(const uint8_t **bytes, size_t *size)
{
    const uint8_t *end = memchr(*bytes, '\0', *size);
    size_t length = end ? (size_t)(end - *bytes) : *size, used = length + (end != NULL);
    char *text = malloc(length + 1);

    if (!text)
        abort();
    memcpy(text, *bytes, length);
    text[length] = '\0';
    *bytes += used;
    *size -= used;
    return text;
}

static int64_t number(json_object *profile, const char *name)
{
    json_object *value;

    return json_object_object_get_ex(profile, name, &value) ? json_object_get_int64(value) : 0;
}

/* Each package has a name and a version on one side at least; on both, the versions differ. */
static void check_packages(json_object *list)
{
    if (json_object_array_length(list) > CLOSURE_PACKAGES_MAX)
        abort();
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *package = json_object_array_get_idx(list, i), *name, *old = NULL, *new = NULL;

        if (!json_object_object_get_ex(package, "name", &name))
            abort();
        json_object_object_get_ex(package, "old", &old);
        json_object_object_get_ex(package, "new", &new);
        if ((!old && !new) || (old && new &&json_object_equal(old, new)))
            abort();
    }
}

static void compare(const struct closure *old, const struct closure *new)
{
    char **gone = calloc(old->count + 1, sizeof *gone),
         **come = calloc(new->count + 1, sizeof *come);
    json_object *profile = json_object_new_object(), *list, *back;
    struct json_problem problem;
    size_t gone_count, come_count;
    const char *text;

    if (!gone || !come)
        abort();
    gone_count = closure_only_in(old, new, gone);
    come_count = closure_only_in(new, old, come);
    if (gone_count > old->count || come_count > new->count)
        abort();
    closure_put_packages(profile, gone, gone_count, come, come_count);
    if (!json_object_object_get_ex(profile, "packages", &list))
        abort();
    check_packages(list);
    if (json_object_array_length(list) + (size_t)number(profile, "rebuilt") +
            (size_t)number(profile, "more") >
        gone_count + come_count)
        abort();
    text = json_object_to_json_string_ext(profile, JSON_C_TO_STRING_PLAIN);
    if (json_read(text, strlen(text), 6, &back, &problem) < 0)
        abort();
    json_object_put(back);
    json_object_put(profile);
    free(gone);
    free(come);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct closure old, new;
    bool read = closure_parse(&old, take(&bytes, &size));
    char *sizes;

    read &= closure_parse(&new, take(&bytes, &size));
    if (read)
        compare(&old, &new);
    sizes = take(&bytes, &size);
    if (closure_sizes(sizes) < -1)
        abort();
    free(sizes);
    closure_free(&old);
    closure_free(&new);
    return 0;
}
