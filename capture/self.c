/* The path of the running binary; every system has another call for this. */
#include "self.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

char *self_directory(void)
{
    char path[PATH_MAX];
    char *slash;

#ifdef __APPLE__
    uint32_t size = sizeof path;

    if (_NSGetExecutablePath(path, &size) != 0)
        return NULL;
#else
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    if (length < 0)
        return NULL;
    path[length] = '\0';
#endif
    slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return strdup(path);
}
