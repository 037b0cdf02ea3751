#include "nixrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "nixversion.h"

#define SETTING "json-log-path"
#define CONFIG_MAX ((size_t)1 << 20) /* bytes of a nix.conf */

/* ---- the user's own setting ---- */

static bool text_sets(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\n");
        if (strncmp(line, SETTING, strlen(SETTING)) == 0)
            return true;
    }
    return false;
}

static bool file_sets(const char *dir, const char *name)
{
    AUTO_FREE char *path = NULL, *text = NULL;
    AUTO_CLOSE int fd = -1;

    if (!dir || asprintf(&path, "%s/%s", dir, name) < 0)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    text = is_file(fd) ? read_open_file(fd, CONFIG_MAX, NULL) : NULL;
    return text && text_sets(text);
}

static bool user_sets(void)
{
    const char *config = getenv("NIX_CONFIG"), *dir = getenv("NIX_CONF_DIR");

    return (config && strstr(config, SETTING)) ||
           file_sets(dir && *dir ? dir : "/etc/nix", "nix.conf") ||
           file_sets(getenv("XDG_CONFIG_HOME"), "nix/nix.conf") ||
           file_sets(getenv("HOME"), ".config/nix/nix.conf");
}

/* ---- the entry ---- */

char *nix_record_entry(const char *id, struct nix_record *record)
{
    const char *config = getenv("NIX_CONFIG");
    char *entry;
    int known;

    *record = (struct nix_record){.problem = 0};
    if (user_sets())
        return NULL;
    known = nix_has_setting();
    record->ask = known < 0;
    if (known != 1)
        return NULL;
    if (nix_memory_create(id, record->path) < 0) {
        record->problem = errno;
        return NULL;
    }
    /* In a value, nix takes '#' as a comment, and splits at blanks. */
    if (!record->path[strcspn(record->path, "# \t\r\n")] &&
        asprintf(&entry, "NIX_CONFIG=%s%s%s = %s", config ? config : "",
                 config && *config ? "\n" : "", SETTING, record->path) >= 0)
        return entry;
    nix_memory_remove(record->path);
    record->path[0] = '\0';
    return NULL;
}
