/* --show RUN --derivation NAME prints the whole log of one derivation, from nix's internal log. */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "../parse/nixlog.h"

#define STORE_HASH 32 /* characters before the name in a store path */

struct build_log {
    const char *name;
    bool mine;   /* the text that follows belongs to the derivation */
    bool prefix; /* the next piece is nix's "NAME> " */
    bool any;
};

/* NAME may be the derivation's name, with or without version, or a store path. */
static bool is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(name);
    if (strcmp(path, name) == 0)
        return true;
    if (strlen(base) <= STORE_HASH + 1)
        return false;
    base += STORE_HASH + 1;
    return strncmp(base, name, length) == 0 &&
           (strcmp(base + length, ".drv") == 0 ||
            (base[length] == '-' && base[length + 1] >= '0' && base[length + 1] <= '9'));
}

static void on_owner(void *context, const char *path)
{
    struct build_log *log = context;
    log->mine = path && is_named(path, log->name);
    log->prefix = log->mine;
}

static void on_text(void *context, const void *bytes, size_t size)
{
    struct build_log *log = context;
    const char *text = bytes;
    if (!log->mine)
        return;
    if (log->prefix) {
        log->prefix = false;
        return;
    }
    if (size >= 2 && memcmp(text + size - 2, "\r\n", 2) == 0) { /* the end of each line */
        putchar('\n');
        log->prefix = true;
    } else {
        fwrite(text, 1, size, stdout);
    }
    log->any = true;
}

static int print_log(const char *path, struct build_log *log)
{
    static char buffer[1 << 16];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    const struct nixlog_sink sink = {.context = log, .text = on_text, .owner = on_owner};
    struct nixlog *nixlog = fd < 0 ? NULL : nixlog_new(NIXLOG_RECORDS, &sink);
    ssize_t size = -1;
    if (!nixlog)
        return -1;
    while ((size = read(fd, buffer, sizeof buffer)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            nixlog_feed(nixlog, buffer, (size_t)size);
    nixlog_free(nixlog);
    return size < 0 ? -1 : 0;
}

int build_log_main(const struct config *config)
{
    AUTO_FREE char *id =
        config->state_dir ? report_find_run(config->state_dir, config->operand) : NULL;
    AUTO_FREE char *path = NULL;
    struct build_log log = {.name = config->derivation};
    if (!id || asprintf(&path, "%s/%s.nix", config->state_dir, id) < 0) {
        warnx("%s: no such run", config->operand ? config->operand : "--derivation");
        return 1;
    }
    if (print_log(path, &log) < 0) {
        if (errno == ENOENT)
            warnx("%s: nix recorded nothing: was the run made with --nix-log?", id);
        else
            warn("%s", path);
        return 1;
    }
    if (!log.any) {
        warnx("%s: no derivation %s is recorded", id, config->derivation);
        return 1;
    }
    return fflush(stdout) == 0 || errno == EPIPE ? 0 : 1;
}
