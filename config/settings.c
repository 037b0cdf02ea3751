/* Settings as texts, from the two files and the environment. A stronger source overrides a weaker
   one. Nothing here prevents the command from being run: a wrong line is skipped, and a warning is
   noted. */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/envfile.h"
#include "../common/io.h"

const struct setting_row setting_rows[SET_COUNT] = {
#define ROW(id, ...) [SET_##id] = SETTING_ROW(struct config, __VA_ARGS__),
    RUN_SETTINGS(ROW)
#undef ROW
};

void config_warn(struct config_warnings *warnings, const char *format, ...)
{
    va_list arguments;
    char *line;

    va_start(arguments, format);
    if (vasprintf(&line, format, arguments) < 0)
        line = NULL;
    va_end(arguments);
    if (line && warnings->count < CONFIG_WARNINGS_MAX)
        warnings->line[warnings->count++] = line;
    else
        free(line);
}

/* ---- values ---- */

int setting_put(struct setting_values *values, enum setting which, const char *text)
{
    char **slot = &values->text[which], *fresh;

    if (*text == '\0')
        return 0;
    if (setting_rows[which].properties & SETTING_ADDS && *slot) {
        if (asprintf(&fresh, "%s,%s", *slot, text) < 0)
            return -1;
    } else if (!(fresh = strdup(text))) {
        return -1;
    }
    free(*slot);
    *slot = fresh;
    return 0;
}

/* The length without the slashes at the end, which mean nothing. */
static size_t url_length(const char *url)
{
    size_t length = strlen(url);

    while (length > 0 && url[length - 1] == '/')
        length--;
    return length;
}

static bool same_url(const char *one, const char *other)
{
    size_t length = url_length(one);

    return length == url_length(other) && strncmp(one, other, length) == 0;
}

int settings_merge(struct setting_values *values, const struct setting_values *stronger)
{
    const char *here = values->text[SET_URL], *there = stronger->text[SET_URL];
    bool another = here && there && !same_url(here, there);

    for (int i = 0; i < SET_COUNT; i++) {
        if (another && setting_rows[i].properties & SETTING_CREDENTIAL) {
            free(values->text[i]);
            values->text[i] = NULL;
        }
        if (stronger->text[i] && setting_put(values, (enum setting)i, stronger->text[i]) < 0)
            return -1;
    }
    return 0;
}

void settings_free(struct setting_values *values)
{
    for (int i = 0; i < SET_COUNT; i++)
        free(values->text[i]);
    memset(values, 0, sizeof *values);
}

/* ---- sources ---- */

struct source {
    struct setting_values values;
    struct config_warnings *warnings;
    const char *name; /* for a person: a path, or "the environment" */
    bool is_file;
};

/* A wrong value counts as not set: the value of a weaker source, or the standard, is used. */
static int put_checked(struct source *source, enum setting which, const char *text)
{
    char why[SETTING_WHY_SIZE];

    /* the directory in which the next command is started says nothing about a file */
    if (source->is_file && setting_rows[which].properties & SETTING_PATH && *text && *text != '/') {
        config_warn(source->warnings, "%s in %s: '%s' does not begin with /: not used",
                    setting_rows[which].variable, source->name, text);
        return 0;
    }
    if (*text == '\0' || setting_check(&setting_rows[which], text, why))
        return setting_put(&source->values, which, text);
    config_warn(source->warnings, "%s in %s: %s: not used", setting_rows[which].variable,
                source->name, why);
    return 0;
}

/* A variable that is not a setting may be for another program, such as the dashboard's service,
 * which may share the file. But a name that is similar to a setting is probably a mistake. */
static void note_unknown(struct source *source, const char *name)
{
    const char *nearest = setting_known(name) ? NULL : setting_nearest(name);

    if (setting_known(name))
        return;
    if (nearest)
        config_warn(source->warnings, "%s in %s: there is no such setting; is %s meant?", name,
                    source->name, nearest);
    else if (strncmp(name, "NIXFLEET_", 9) == 0)
        config_warn(source->warnings, "%s in %s: there is no such setting", name, source->name);
}

static int put_variable(void *context, const char *name, const char *value)
{
    for (int i = 0; i < SET_COUNT; i++)
        if (strcmp(name, setting_rows[i].variable) == 0)
            return put_checked(context, (enum setting)i, value);
    note_unknown(context, name);
    return 0;
}

/* What is at the path if it is not a file. NULL if it counts as an empty file. */
static const char *what_it_is(int fd)
{
    struct stat info;

    /* a device: /dev/null is an empty file */
    if (fstat(fd, &info) < 0 || S_ISREG(info.st_mode) || S_ISCHR(info.st_mode))
        return NULL;
    return S_ISDIR(info.st_mode) ? "a directory" : "no file";
}

/* A missing file is not an error. A file that cannot be read may be root's own, with a token in it:
 * not an error, either. */
static int from_file(struct source *source, const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *what = fd >= 0 ? what_it_is(fd) : NULL;
    AUTO_FREE char *text = NULL;
    size_t size = 0, wrong_line;
    int result;

    source->name = path;
    source->is_file = true;
    if (what) {
        config_warn(source->warnings, "%s is %s: no settings are read from it", path, what);
        return 0;
    }
    if (fd >= 0)
        text = read_open_file(fd, ENVFILE_LIMIT, &size);
    if (text) {
        result = envfile_parse(text, size, put_variable, source, &wrong_line);
        if (wrong_line > 0)
            config_warn(source->warnings, "%s: line %zu is not NAME=value", path, wrong_line);
        return result;
    }
    if (errno != ENOENT && errno != EACCES && errno != ENOTDIR)
        config_warn(source->warnings, "%s: %s: no settings are read from it", path,
                    strerror(errno));
    return 0;
}

static int from_user_file(struct source *source)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    AUTO_FREE char *path = NULL;
    int length;

    if (base && *base)
        length = asprintf(&path, "%s/nixfleet/run.conf", base);
    else if (home && *home)
        length = asprintf(&path, "%s/.config/nixfleet/run.conf", home);
    else
        return 0;
    if (length < 0) {
        path = NULL;
        return -1;
    }
    return from_file(source, path);
}

static int from_environment(struct source *source)
{
    source->name = "the environment";
    for (int i = 0; i < SET_COUNT; i++) {
        const char *value = getenv(setting_rows[i].variable);

        if (value && put_checked(source, (enum setting)i, value) < 0)
            return -1;
    }
    return 0;
}

int settings_from_sources(struct setting_values *values, int count,
                          struct config_warnings *warnings)
{
    int result = 0;

    for (int i = 0; i < count && result == 0; i++) {
        struct source source = {.warnings = warnings};

        if (i == SOURCE_SYSTEM)
            result = from_file(&source, "/etc/nixfleet/run.conf");
        else
            result = i == SOURCE_USER ? from_user_file(&source) : from_environment(&source);
        if (result == 0)
            result = settings_merge(values, &source.values);
        settings_free(&source.values);
    }
    return result;
}
