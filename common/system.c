#ifdef __APPLE__
#define __STDC_WANT_LIB_EXT1__ 1 /* memset_s */
#endif
#include "system.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/proc.h>
#include <sys/sysctl.h>
#endif

bool signal_name(int number, char out[SIGNAL_NAME_SIZE])
{
    size_t length = 0;
#ifdef __APPLE__ /* in small letters there */
    const char *name = number > 0 && number < NSIG ? sys_signame[number] : NULL;
#else
    const char *name = sigabbrev_np(number);
#endif

    for (; name && name[length] && length < SIGNAL_NAME_SIZE - 1; length++)
        out[length] = (char)toupper((unsigned char)name[length]);
    out[length] = '\0';
    return length > 0;
}

void wipe(void *bytes, size_t size)
{
#ifdef __APPLE__
    memset_s(bytes, size, 0, size);
#else
    explicit_bzero(bytes, size);
#endif
}

#ifdef __APPLE__
bool process_stopped(pid_t pid)
{
    struct kinfo_proc info;
    size_t size = sizeof info;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};

    return sysctl(name, 4, &info, &size, NULL, 0) == 0 && size == sizeof info &&
           info.kp_proc.p_stat == SSTOP;
}
#else
/* proc_pid_stat(5): "PID (NAME) STATE …"; a name may hold anything. */
bool process_stopped(pid_t pid)
{
    char path[32], stat[512];
    const char *name_end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, stat, sizeof stat - 1);
    close(fd);
    stat[n > 0 ? n : 0] = '\0';
    name_end = strrchr(stat, ')');
    return name_end && name_end[1] == ' ' && name_end[2] == 'T';
}
#endif
