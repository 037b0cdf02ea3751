#ifdef __APPLE__
#define __STDC_WANT_LIB_EXT1__ 1 /* for memset_s */
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

#define ANCESTORS_MOST 64 /* processes that are followed upwards */
#define STATUS_SIZE 4096  /* bytes of /proc/PID/status */
#define CGROUP_SIZE 4096

bool signal_name(int number, char out[SIGNAL_NAME_SIZE])
{
    size_t length = 0;
#ifdef __APPLE__ /* in lower case on this system */
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

#ifdef __APPLE__ /* this system has no closefrom(3) */
static void close_from(int low)
{
    for (int fd = low, end = getdtablesize(); fd < end; fd++)
        close(fd);
}
#else
#define close_from closefrom
#endif

void close_others(const int *kept, size_t count)
{
    int low = 3;

    for (;;) {
        int next = -1;

        for (size_t i = 0; i < count; i++)
            if (kept[i] >= low && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next < 0)
            break;
        for (; low < next; low++)
            close(low);
        low = next + 1;
    }
    close_from(low);
}

#ifdef __APPLE__
static bool process_info(pid_t pid, struct kinfo_proc *info)
{
    size_t size = sizeof *info;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};

    return sysctl(name, 4, info, &size, NULL, 0) == 0 && size == sizeof *info;
}

bool process_stopped(pid_t pid)
{
    struct kinfo_proc info;

    return process_info(pid, &info) && info.kp_proc.p_stat == SSTOP;
}

uid_t process_user(pid_t pid)
{
    struct kinfo_proc info;

    return process_info(pid, &info) ? info.kp_eproc.e_ucred.cr_uid : (uid_t)-1;
}

bool process_has_pending(pid_t pid, int number)
{
    (void)pid, (void)number;
    return false;
}

bool process_same_cgroup(pid_t one, pid_t other)
{
    (void)one, (void)other;
    return false;
}

bool process_is_manager(pid_t pid)
{
    (void)pid;
    return false;
}

static pid_t parent_of(pid_t pid)
{
    struct kinfo_proc info;

    return process_info(pid, &info) ? info.kp_eproc.e_ppid : 0;
}
#else
/* The start of a file in the directory of a process, as text. False if it cannot be read. */
static bool read_of_process(pid_t pid, const char *name, char *text, size_t size)
{
    char path[48];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return true;
}

/* What follows `key` in the status of a process; NULL if it cannot be read. */
static const char *status_value(pid_t pid, const char *key, char *text, size_t size)
{
    const char *line = read_of_process(pid, "status", text, size) ? strstr(text, key) : NULL;

    return line ? line + strlen(key) : NULL;
}

uid_t process_user(pid_t pid)
{
    char text[STATUS_SIZE];
    const char *value = status_value(pid, "\nUid:", text, sizeof text);
    unsigned effective;

    return value && sscanf(value, " %*u %u", &effective) == 1 ? (uid_t)effective : (uid_t)-1;
}

bool process_has_pending(pid_t pid, int number)
{
    char text[STATUS_SIZE];
    const char *value = status_value(pid, "\nShdPnd:", text, sizeof text);
    unsigned long long pending;

    return value && sscanf(value, " %llx", &pending) == 1 && (pending >> (number - 1) & 1);
}

bool process_same_cgroup(pid_t one, pid_t other)
{
    char first[CGROUP_SIZE], second[CGROUP_SIZE];

    return read_of_process(one, "cgroup", first, sizeof first) &&
           read_of_process(other, "cgroup", second, sizeof second) && strcmp(first, second) == 0;
}

bool process_is_manager(pid_t pid)
{
    char name[32];

    return read_of_process(pid, "comm", name, sizeof name) && strcmp(name, "systemd\n") == 0;
}

/* proc_pid_stat(5): "PID (NAME) STATE PARENT…". NAME may contain any character, so the last ')'
 * ends it. */
static bool process_info(pid_t pid, char *state, pid_t *parent)
{
    const char *name_end;
    char stat[512];
    int number;

    if (!read_of_process(pid, "stat", stat, sizeof stat))
        return false;
    name_end = strrchr(stat, ')');
    if (!name_end || sscanf(name_end + 1, " %c %d", state, &number) != 2)
        return false;
    *parent = number;
    return true;
}

bool process_stopped(pid_t pid)
{
    pid_t parent;
    char state;

    return process_info(pid, &state, &parent) && state == 'T';
}

static pid_t parent_of(pid_t pid)
{
    pid_t parent;
    char state;

    return process_info(pid, &state, &parent) ? parent : 0;
}
#endif

bool process_is_ancestor(pid_t pid)
{
    pid_t at = getppid();

    for (int i = 0; i < ANCESTORS_MOST && at > 0; i++) {
        if (at == pid)
            return true;
        at = parent_of(at);
    }
    return false;
}
