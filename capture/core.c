/* Dumps a core of this process that is as small and as short-lived as possible. */
#include "core.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

#ifdef __linux__
#include <sys/prctl.h>

/* bytes of our core, which has no memory in it */
#define CORE_MAX ((rlim_t)1 << 20)
/* core(5): the first character of core_pattern says where cores go. '|': to a program; '/': to a
 * fixed place; else: to a file in the working directory. '\0': not known. */
static char first_of_pattern(void)
{
    AUTO_CLOSE int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
    char first = '\0';

    return fd >= 0 && read(fd, &first, 1) == 1 ? first : '\0';
}

/* core(5), coredump_filter: dump no mapping at all. */
static void dump_no_memory(void)
{
    AUTO_CLOSE int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "0", 1) < 0) {
        /* On failure the core is larger, up to the limit. */
    }
}

/* In a process of its own: waits until the other process has ended, then removes the directory. */
static void remove_after(int gone, const char *directory)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct dirent *entry;
    DIR *files;
    char byte;

    setsid();
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    while (read(gone, &byte, 1) > 0)
        ;
    files = opendir(directory);
    while (files && (entry = readdir(files)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(files), entry->d_name, 0);
    rmdir(directory);
    _exit(0);
}

/* Makes a directory for the core, and changes to it. */
static bool enter_directory(void)
{
    static char directory[] = "/tmp/nixfleet-core.XXXXXX";
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0 || !mkdtemp(directory))
        return false;
    pid = fork();
    if (pid == 0) {
        dup2(ends[0], STDERR_FILENO + 1);
        close_from(STDERR_FILENO + 2); /* no other process may wait for this one */
        remove_after(STDERR_FILENO + 1, directory);
    }
    close(ends[0]);
    if (pid > 0 && chdir(directory) == 0)
        return true;
    rmdir(directory);
    return false;
}

void core_prepare(bool dumped)
{
    struct rlimit limit = {0, 0};
    char first = dumped ? first_of_pattern() : '\0';

    if (first == '\0' || first == '/' ||
        (first != '|' && (getrlimit(RLIMIT_CORE, &limit) < 0 || !enter_directory()))) {
        prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
        return;
    }
    dump_no_memory();
    limit.rlim_cur = first == '|' ? 0 : limit.rlim_max < CORE_MAX ? limit.rlim_max : CORE_MAX;
    setrlimit(RLIMIT_CORE, &limit);
}

#else

void core_prepare(bool dumped)
{
    struct rlimit none = {0, 0};

    (void)dumped;
    setrlimit(RLIMIT_CORE, &none); /* a core of the command is enough */
}

#endif
