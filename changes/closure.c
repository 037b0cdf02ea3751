#include "closure.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/io.h"

#define STORE_HASH 32
/* What nix allows in the name of a store path. */
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._?="

/* ---- paths ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool closure_parse(struct closure *closure, char *text)
{
    size_t lines = 0;

    *closure = (struct closure){.text = text};
    for (char *at = text; at && *at; at++)
        lines += *at == '\n';
    closure->path = lines ? calloc(lines, sizeof *closure->path) : NULL;
    if (!closure->path)
        return false;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = '\0';
        closure->path[closure->count++] = at;
    }
    qsort(closure->path, closure->count, sizeof *closure->path, by_text);
    return true;
}

void closure_free(struct closure *closure)
{
    free(closure->path);
    free(closure->text);
}

size_t closure_only_in(const struct closure *one, const struct closure *other, char **out)
{
    size_t count = 0, at = 0;

    for (size_t i = 0; i < one->count; i++) {
        while (at < other->count && strcmp(other->path[at], one->path[i]) < 0)
            at++;
        if (at == other->count || strcmp(other->path[at], one->path[i]) != 0)
            out[count++] = one->path[i];
    }
    return count;
}

int64_t closure_sizes(const char *text)
{
    int64_t sum = 0;

    while (*text) {
        char *end;
        long long size;

        errno = 0;
        size = strtoll(text, &end, 10);
        if (!isdigit((unsigned char)*text) || errno || (*end && *end != '\n') ||
            size > INT64_MAX - sum)
            return -1;
        sum += size;
        text = *end ? end + 1 : end;
    }
    return sum;
}

/* ---- packages ---- */

/* A store path as name and version. Nix's rule: the version begins at the first dash that no letter
 * follows. */
struct package {
    const char *name, *version;
    size_t length; /* of the name */
};

static bool package_of(const char *path, struct package *package)
{
    const char *base = strrchr(path, '/');

    if (!base || strlen(base) < STORE_HASH + 3 || base[1 + strspn(base + 1, NAME_BYTES)])
        return false;
    package->name = base + STORE_HASH + 2;
    package->length = strlen(package->name);
    package->version = package->name + package->length;
    for (const char *at = package->name; (at = strchr(at, '-')); at++) {
        if ((at[1] | 32) >= 'a' && (at[1] | 32) <= 'z')
            continue;
        package->length = (size_t)(at - package->name);
        package->version = at[1] ? at + 1 : at;
        break;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct package *one = a, *two = b;
    size_t least = one->length < two->length ? one->length : two->length;
    int order = memcmp(one->name, two->name, least);

    if (order == 0)
        order = (one->length > two->length) - (one->length < two->length);
    return order ? order : strcmp(one->version, two->version);
}

static size_t packages_of(char **path, size_t count, struct package *out)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        used += package_of(path[i], &out[used]);
    qsort(out, used, sizeof *out, by_name);
    return used;
}

static bool same_name(const struct package *one, const struct package *two)
{
    return one->length == two->length && memcmp(one->name, two->name, one->length) == 0;
}

/* Joins the versions of all packages with the name of package[from]. Returns the number of these
 * packages. */
static size_t versions(const struct package *package, size_t from, size_t count, char *out,
                       size_t size)
{
    size_t at = from, length = 0;

    out[0] = '\0';
    for (; at < count && same_name(&package[at], &package[from]); at++) {
        if (at > from && strcmp(package[at].version, package[at - 1].version) == 0)
            continue;
        if (length < size)
            length += (size_t)snprintf(out + length, size - length, "%s%s", at > from ? ", " : "",
                                       package[at].version);
    }
    return at - from;
}

static void put(json_object *list, const struct package *package, const char *old, const char *new)
{
    json_object *object = json_object_new_object();
    int length = (int)(package->length < 200 ? package->length : 200);

    json_object_object_add(object, "name", json_object_new_string_len(package->name, length));
    if (old)
        json_object_object_add(object, "old", json_object_new_string(old));
    if (new)
        json_object_object_add(object, "new", json_object_new_string(new));
    json_object_array_add(list, object);
}

/* Both lists are sorted. A name in only one list was added or removed. Another name has other
 * versions, or was only rebuilt. */
static void put_packages(json_object *profile, const struct package *old, size_t old_count,
                         const struct package *new, size_t new_count)
{
    json_object *list = json_object_new_array();
    int64_t rebuilt = 0, more = 0;
    size_t i = 0, j = 0;

    while (i < old_count || j < new_count) {
        char before[256], after[256];
        int order = i == old_count   ? 1
                    : j == new_count ? -1
                    : same_name(&old[i], &new[j])
                        ? 0
                        : by_name(&(struct package){old[i].name, "", old[i].length},
                                  &(struct package){new[j].name, "", new[j].length});
        const struct package *package = order <= 0 ? &old[i] : &new[j];

        if (order <= 0)
            i += versions(old, i, old_count, before, sizeof before);
        if (order >= 0)
            j += versions(new, j, new_count, after, sizeof after);
        if (order == 0 && strcmp(before, after) == 0)
            rebuilt++;
        else if (json_object_array_length(list) >= CLOSURE_PACKAGES_MAX)
            more++;
        else
            put(list, package, order <= 0 ? before : NULL, order >= 0 ? after : NULL);
    }
    json_object_object_add(profile, "packages", list);
    json_object_object_add(profile, "rebuilt", json_object_new_int64(rebuilt));
    if (more > 0)
        json_object_object_add(profile, "more", json_object_new_int64(more));
}

void closure_put_packages(json_object *profile, char **gone, size_t gone_count, char **come,
                          size_t come_count)
{
    AUTO_FREE struct package *before = calloc(gone_count + 1, sizeof *before);
    AUTO_FREE struct package *after = calloc(come_count + 1, sizeof *after);

    if (before && after)
        put_packages(profile, before, packages_of(gone, gone_count, before), after,
                     packages_of(come, come_count, after));
}
