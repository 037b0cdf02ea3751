#include "profiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "aside.h"
#include "nixcommand.h"
#include "runrecord.h"

#define SYSTEM "/run/current-system"
#define SYSTEM_PROFILE "/nix/var/nix/profiles/system"
#define LINK_SIZE 1024 /* bytes; the stack may be small */
/* a profile is a link to its generation, which is a link into the store */
#define LINKS_MAX 8
static const char *const names[PROFILE_COUNT] = {"system", "home-manager"};

/* From "home-manager-42-link" makes "42". NULL: not a generation. The caller frees the text. */
static char *generation_of(const char *target)
{
    const char *end = strstr(target, "-link"), *digits = end;

    if (!end || end[5])
        return NULL;
    while (digits > target && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    return digits < end && digits > target && digits[-1] == '-'
               ? strndup(digits, (size_t)(end - digits))
               : NULL;
}

/* Replaces path by the target of a link, which is relative to the link's directory. False: too
 * long. */
static bool go_to(char path[LINK_SIZE], const char *target)
{
    char *slash = strrchr(path, '/');
    size_t directory = *target == '/' || !slash ? 0 : (size_t)(slash + 1 - path);

    if (directory + strlen(target) >= LINK_SIZE)
        return false;
    strcpy(path + directory, target);
    return true;
}

static void free_profile(struct profile *profile)
{
    free(profile->path);
    free(profile->generation);
    *profile = (struct profile){0};
}

/* Follows a profile into the store; frees what `profile` held. realpath(3) would look at each
 * directory on the way. */
static void follow(const char *link, struct profile *profile)
{
    char path[LINK_SIZE], target[LINK_SIZE];
    ssize_t size;

    free_profile(profile);
    snprintf(path, sizeof path, "%s", link);
    for (int i = 0; (size = readlink(path, target, sizeof target - 1)) > 0; i++) {
        target[size] = '\0';
        if (!profile->generation)
            profile->generation = generation_of(target);
        if (i == LINKS_MAX || !go_to(path, target)) {
            size = 0;
            break;
        }
    }
    /* not a link: a path in the store */
    if (size < 0 && errno == EINVAL && strcmp(path, link) != 0)
        profile->path = strdup(path);
}

/* The system's profile may have another generation than the running system. */
static void look_at_system(struct profile *profile)
{
    struct profile next = {0};

    follow(SYSTEM, profile);
    if (!profile->path)
        return;
    follow(SYSTEM_PROFILE, &next);
    if (next.path && strcmp(next.path, profile->path) == 0 && next.generation) {
        free(profile->generation);
        profile->generation = next.generation;
        next.generation = NULL;
    }
    free_profile(&next);
}

/* The places of home-manager's profile in its versions, newest first. */
static void look_at_home(struct profile *profile)
{
    const char *given = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *user = getenv("USER");
    char path[LINK_SIZE];

    if (given && *given) {
        snprintf(path, sizeof path, "%s/nix/profiles/home-manager", given);
        follow(path, profile);
    }
    if (!profile->path && home && *home) {
        snprintf(path, sizeof path, "%s/.local/state/nix/profiles/home-manager", home);
        follow(path, profile);
    }
    if (!profile->path && user && *user && !strchr(user, '/')) {
        snprintf(path, sizeof path, "/nix/var/nix/profiles/per-user/%s/home-manager", user);
        follow(path, profile);
    }
}

static void look(struct profiles *profiles)
{
    look_at_system(&profiles->one[PROFILE_SYSTEM]);
    if (profiles->home)
        look_at_home(&profiles->one[PROFILE_HOME]);
}

void profiles_look(struct profiles *profiles, char *const command[])
{
    *profiles = (struct profiles){.home = nix_command(command) && access("/nix", F_OK) == 0};
    look(profiles);
}

static bool changed(const struct profile *before, const struct profile *after)
{
    return after->path && (!before->path || strcmp(before->path, after->path) != 0);
}

static const char *text_or_nothing(const char *text)
{
    return text ? text : "";
}

static void append(FILE *out, const char *name, const struct profile *before,
                   const struct profile *after)
{
    if (changed(before, after))
        fprintf(out, "%s\t%s\t%s\t%s\t%s\n", name, text_or_nothing(before->path), after->path,
                text_or_nothing(before->generation), text_or_nothing(after->generation));
}

struct comparison {
    const struct profiles *before;
    const char *dir, *id;
};

static void compare_aside(void *context, int out)
{
    const struct comparison *comparison = context;
    struct profiles after = {.home = comparison->before->home};
    char *text = NULL, *path = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    (void)out;
    look(&after);
    for (int i = 0; memory && i < PROFILE_COUNT; i++)
        append(memory, names[i], &comparison->before->one[i], &after.one[i]);
    if (!memory || fclose(memory) != 0 || size == 0 || run_dir_make(comparison->dir) < 0 ||
        !run_directory_trusted(comparison->dir) || /* the directory may not exist yet */
        asprintf(&path, "%s/%s.profiles", comparison->dir, comparison->id) < 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && write_all(fd, text, size) < 0)
        unlink(path);
}

/* Does not wait: /run is in memory. */
static bool system_changed(const struct profile *before)
{
    struct profile after = {0};
    bool is_changed;

    follow(SYSTEM, &after);
    is_changed = changed(before, &after);
    free_profile(&after);
    return is_changed;
}

/* The home directory and the state directory may be on a disk that does not answer any more, so a
 * child process looks there. */
void profiles_compare(const struct profiles *before, const char *dir, const char *id)
{
    struct comparison comparison = {before, dir, id};

    if (dir && (before->home || system_changed(&before->one[PROFILE_SYSTEM])))
        free(run_aside(compare_aside, &comparison, PROFILES_MS));
}

void profiles_free(struct profiles *profiles)
{
    for (int i = 0; i < PROFILE_COUNT; i++)
        free_profile(&profiles->one[i]);
}
