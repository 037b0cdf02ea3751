/* The directory where the runs of this user are recorded. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *config_state_dir(void)
{
    const char *systemd = getenv("LOGS_DIRECTORY");
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir = NULL;

    if (systemd && *systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (geteuid() == 0)
        return strdup("/var/log/nixfleet");
    if (state && *state)
        return asprintf(&dir, "%s/nixfleet", state) < 0 ? NULL : dir;
    if (home && *home)
        return asprintf(&dir, "%s/.local/state/nixfleet", home) < 0 ? NULL : dir;
    errno = ENOENT;
    return NULL;
}
