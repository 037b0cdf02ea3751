/* --show RUN --changes prints what a run changed. */
#include "report.h"

#include <err.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../changes/changes.h"
#include "../common/io.h"
#include "../common/json.h"

static void print_package(json_object *package)
{
    const char *name = body_text(package, "name"), *old = body_text(package, "old");
    const char *new = body_text(package, "new");
    if (!name)
        return;
    if (old && new)
        printf("  %s: %s -> %s\n", name, old, new);
    else if (new)
        printf("  %s: added%s%s\n", name, *new ? " " : "", new);
    else if (old)
        printf("  %s: removed%s%s\n", name, *old ? " " : "", old);
}

static void print_size(int64_t bytes)
{
    double size = (double)(bytes < 0 ? -bytes : bytes);
    const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        size /= 1024;
    printf("  size: %c%.*f %s\n", bytes < 0 ? '-' : '+', unit > 0, size, units[unit]);
}

static void print_side(const char *generation, const char *path)
{
    if (generation)
        printf(" %s (%s)", generation, path);
    else
        printf(" %s", path);
}

static void print_profile(json_object *profile)
{
    const char *why = NULL;
    json_object *packages;
    int64_t number;
    const char *old = body_text(profile, "old"), *name = body_text(profile, "profile");
    const char *new = body_text(profile, "new");
    if (!name || !new)
        return;
    printf("%s:", name);
    if (old) {
        print_side(body_text(profile, "old_generation"), old);
        printf(" ->");
    }
    print_side(body_text(profile, "new_generation"), new);
    putchar('\n');
    if (field_typed(profile, "packages", json_type_array, &packages, &why))
        for (size_t at = 0; at < json_object_array_length(packages); at++)
            print_package(json_object_array_get_idx(packages, at));
    if (field_int(profile, "more", &number, &why))
        printf("  and %lld more\n", (long long)number);
    if (field_int(profile, "rebuilt", &number, &why) && number > 0)
        printf("  %lld rebuilt\n", (long long)number);
    if (field_int(profile, "size", &number, &why))
        print_size(number);
}

int changes_main(const struct config *config)
{
    AUTO_FREE char *id =
        config->state_dir ? report_find_run(config->state_dir, config->operand) : NULL;
    AUTO_FREE char *text = id ? changes_read(config->state_dir, id) : NULL;
    json_object *list = text ? changes_parse(text) : NULL;
    if (!id) {
        warnx("%s: no such run", config->operand ? config->operand : "--changes");
        return 1;
    }
    for (size_t at = 0; list && at < json_object_array_length(list); at++)
        print_profile(json_object_array_get_idx(list, at));
    if (!list)
        puts("no profile changed");
    json_object_put(list);
    return fflush(stdout) == 0 ? 0 : 1;
}
