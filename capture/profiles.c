#include "profiles.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "aside.h"

enum { PROFILE_SYSTEM, PROFILE_HOME, PROFILE_COUNT };

struct profile_state {
    char *path;       /* what it leads to, in the store; NULL: there is none */
    char *generation; /* a number; NULL: not known */
};

static const char *const names[PROFILE_COUNT] = {"system", "home-manager"};

/* "home-manager-42-link" to 42. */
static char *generation_of(const char *profile)
{
    char target[PATH_MAX], *end, *dash;
    ssize_t size = readlink(profile, target, sizeof target - 1);

    if (size <= 0)
        return NULL;
    target[size] = '\0';
    end = strstr(target, "-link");
    if (!end || end[5])
        return NULL;
    *end = '\0';
    dash = strrchr(target, '-');
    return dash && dash[1] && !dash[1 + strspn(dash + 1, "0123456789")] ? strdup(dash + 1) : NULL;
}

static bool take(struct profile_state *state, const char *link, const char *profile)
{
    AUTO_FREE char *leads = realpath(profile, NULL);

    state->path = realpath(link, NULL);
    if (!state->path)
        return false;
    if (leads && strcmp(leads, state->path) == 0) /* else it is another generation */
        state->generation = generation_of(profile);
    return true;
}

/* The places that home-manager has had for its profile, newest first. */
static void take_home(struct profile_state *state)
{
    const char *given = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *user = getenv("USER");
    char path[3][PATH_MAX] = {{0}};

    if (given && *given)
        snprintf(path[0], PATH_MAX, "%s/nix/profiles/home-manager", given);
    if (home && *home)
        snprintf(path[1], PATH_MAX, "%s/.local/state/nix/profiles/home-manager", home);
    if (user && *user && !strchr(user, '/'))
        snprintf(path[2], PATH_MAX, "/nix/var/nix/profiles/per-user/%s/home-manager", user);
    for (int i = 0; i < 3; i++)
        if (path[i][0] && take(state, path[i], path[i]))
            return;
}

static void look(struct profile_state state[PROFILE_COUNT])
{
    memset(state, 0, PROFILE_COUNT * sizeof *state);
    take(&state[PROFILE_SYSTEM], "/run/current-system", "/nix/var/nix/profiles/system");
    take_home(&state[PROFILE_HOME]);
}

/* "NAME TAB path TAB generation" for each that there is. */
static void look_aside(void *context, int out)
{
    struct profile_state state[PROFILE_COUNT];

    (void)context;
    look(state);
    for (int i = 0; i < PROFILE_COUNT; i++)
        if (state[i].path)
            dprintf(out, "%s\t%s\t%s\n", names[i], state[i].path,
                    state[i].generation ? state[i].generation : "");
}

/* Nothing is looked at where there is no nix: most runs are short, and a child is not free. */
char *profiles_look(void)
{
    if (access("/nix", F_OK) < 0)
        return NULL;
    return run_aside(look_aside, NULL, PROFILES_MS);
}

struct comparison {
    const char *before, *dir, *id;
};

/* The path and the generation of a profile in such a text, cut at their length; "" where there is
 * none. */
static void find(const char *text, const char *name, const char *field[2], int length[2])
{
    const char *line = text;

    field[0] = field[1] = "";
    length[0] = length[1] = 0;
    for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, name, strlen(name)) != 0 || line[strlen(name)] != '\t')
            continue;
        field[0] = line + strlen(name) + 1;
        length[0] = (int)strcspn(field[0], "\t\n");
        field[1] = field[0] + length[0] + (field[0][length[0]] == '\t');
        length[1] = (int)strcspn(field[1], "\n");
        return;
    }
}

static void append(FILE *out, const char *before, const char *name,
                   const struct profile_state *after)
{
    const char *field[2];
    int length[2];

    find(before, name, field, length);
    if (!after->path || ((int)strlen(after->path) == length[0] &&
                         memcmp(after->path, field[0], (size_t)length[0]) == 0))
        return;
    fprintf(out, "%s\t%.*s\t%s\t%.*s\t%s\n", name, length[0], field[0], after->path, length[1],
            field[1], after->generation ? after->generation : "");
}

static void compare_aside(void *context, int out)
{
    const struct comparison *comparison = context;
    struct profile_state after[PROFILE_COUNT];
    char *text = NULL, *path = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    (void)out;
    look(after);
    for (int i = 0; memory && i < PROFILE_COUNT; i++)
        append(memory, comparison->before, names[i], &after[i]);
    if (!memory || fclose(memory) != 0 || size == 0 ||
        asprintf(&path, "%s/%s.profiles", comparison->dir, comparison->id) < 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && write_all(fd, text, size) < 0)
        unlink(path);
}

void profiles_compare(const char *before, const char *dir, const char *id)
{
    struct comparison comparison = {before, dir, id};

    if (before && dir)
        free(run_aside(compare_aside, &comparison, PROFILES_MS));
}
