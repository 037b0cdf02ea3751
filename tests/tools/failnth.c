/* Preloaded into nixfleet-run: lets one call of one function fail, as a system short of memory,
   descriptors, processes or disk would.

     FAILNTH=FUNCTION:N[:ERRNO]   the Nth call in the process named FAILNTH_PROGRAM fails
     FAILNTH_COUNT=FILE           where the number of calls is written at the end, one line for each
                                  function ("malloc 42")
     FAILNTH_FORK=N               count in the Nth process that it forks instead (1: the monitor, 2:
                                  the log writer); these have no end at which they could write how
                                  often

   Only that process counts: its children, and what they execute, are left alone, as are other
   programs that inherit the environment. */
#undef _FORTIFY_SOURCE /* its macros and inline functions have the names that are defined here */
#pragma GCC diagnostic ignored "-Wpedantic" /* dlsym returns a function as an object pointer */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* write: only to a file (the disk is full); write_any: to anything. */
/* One word on each line would not be easier to read. */
/* clang-format off */
#define FUNCTIONS(X) \
    X(malloc) X(calloc) X(realloc) X(strdup) X(open) X(pipe) X(fork) X(write) X(write_any) \
    X(pwrite) X(read) X(poll) X(mmap) X(memfd_create) X(ftruncate) X(socketpair) X(fcntl) \
    X(flock) X(mkdir) X(posix_openpt) X(grantpt) X(unlockpt) X(tcgetattr) X(tcsetattr) \
    X(sigaction) X(getcwd) X(fstat) X(unlink) X(asprintf) X(open_memstream) X(ioctl) \
    X(tcgetpgrp) X(tcsetpgrp) X(setpgid) X(waitpid) X(waitid) X(access) X(readlink) X(pread) \
    X(ptsname) X(ttyname_r) X(strndup) X(kill) X(gethostname) X(dup2) X(opendir) X(setsid)
/* clang-format on */

enum function {
#define NAME(f) F_##f,
    FUNCTIONS(NAME) F_COUNT
#undef NAME
};
static const char *const names[] = {
#define TEXT(f) #f,
    FUNCTIONS(TEXT)
#undef TEXT
};

static long calls[F_COUNT];
static int chosen = -1, problem = ENOMEM;
static long nth;
static pid_t counted; /* the only process that counts; 0: none */
static int in_fork;   /* that process was not forked yet */
static char count_path[256];

static int standard_problem(enum function f)
{
    switch (f) {
    case F_open:
    case F_pipe:
    case F_posix_openpt:
    case F_socketpair:
        return EMFILE;
    case F_fork:
        return EAGAIN;
    case F_write:
    case F_write_any:
    case F_pwrite:
    case F_mkdir:
        return ENOSPC;
    case F_read:
    case F_pread:
    case F_tcgetattr:
    case F_tcsetattr:
    case F_tcgetpgrp:
    case F_tcsetpgrp:
    case F_ioctl:
        return EIO;
    case F_waitpid:
    case F_waitid:
        return EINTR;
    case F_setpgid:
    case F_kill:
    case F_setsid:
        return EPERM;
    case F_access:
    case F_readlink:
        return EACCES;
    case F_flock:
        return ENOLCK;
    default:
        return ENOMEM;
    }
}

__attribute__((constructor)) static void start(void)
{
    const char *what = getenv("FAILNTH"), *program = getenv("FAILNTH_PROGRAM");
    const char *path = getenv("FAILNTH_COUNT");
    size_t length = what ? strcspn(what, ":") : 0;

    if (!program || strcmp(program, program_invocation_short_name) != 0)
        return;
    snprintf(count_path, sizeof count_path, "%s", path ? path : "");
    for (int i = 0; what && i < F_COUNT; i++)
        if (strlen(names[i]) == length && strncmp(names[i], what, length) == 0)
            chosen = i;
    if (chosen >= 0) {
        char *rest;

        nth = strtol(what + length + 1, &rest, 10);
        problem = *rest == ':' ? atoi(rest + 1) : standard_problem((enum function)chosen);
    }
    in_fork = getenv("FAILNTH_FORK") ? atoi(getenv("FAILNTH_FORK")) : 0;
    unsetenv("FAILNTH_FORK");
    /* programs that this process starts must not count, and not see the variable */
    unsetenv("FAILNTH");
    unsetenv("FAILNTH_PROGRAM");
    unsetenv("FAILNTH_COUNT");
    unsetenv("LD_PRELOAD");
    counted = in_fork ? 0 : getpid();
}

__attribute__((destructor)) static void finish(void)
{
    char text[64];
    int fd;

    if (counted != getpid() || !count_path[0])
        return;
    counted = 0;
    fd = open(count_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; i < F_COUNT && fd >= 0; i++) {
        int length = snprintf(text, sizeof text, "%s %ld\n", names[i], calls[i]);

        if (syscall(SYS_write, fd, text, (size_t)length) < 0)
            break;
    }
    close(fd);
}

static int fails(enum function f)
{
    if (counted == 0 || counted != (pid_t)syscall(SYS_getpid))
        return 0;
    if (++calls[f] != nth || (int)f != chosen)
        return 0;
    errno = problem;
    return 1;
}

/* The next definition of a function. dlsym may allocate before malloc is known; glibc can do
 * without. */
#define REAL(f) ((__typeof__(&f))dlsym(RTLD_NEXT, #f))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    return fails(F_malloc) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(F_calloc) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(F_realloc) ? NULL : __libc_realloc(old, size);
}

char *(strdup)(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(F_strdup) ? NULL : __libc_malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

static int open_real(const char *name, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);

    return fails(F_open) ? -1 : real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_real("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_real("open64", path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return fails(F_open) ? -1 : REAL(openat)(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return fails(F_open) ? -1 : REAL(openat64)(dir, path, flags, mode);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return fails(F_fcntl) ? -1 : REAL(fcntl)(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return fails(F_fcntl) ? -1 : REAL(fcntl64)(fd, command, argument);
}

int vasprintf(char **text, const char *format, va_list arguments)
{
    return fails(F_asprintf) ? -1 : REAL(vasprintf)(text, format, arguments);
}

int asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, format);
    result = vasprintf(text, format, arguments);
    va_end(arguments);
    return result;
}

int __asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;
    int result;

    (void)flag;
    va_start(arguments, format);
    result = vasprintf(text, format, arguments);
    va_end(arguments);
    return result;
}

int __vasprintf_chk(char **text, int flag, const char *format, va_list arguments)
{
    (void)flag;
    return vasprintf(text, format, arguments);
}

static int is_file(int fd)
{
    struct stat info;

    return syscall(SYS_fstat, fd, &info) == 0 && S_ISREG(info.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if ((is_file(fd) && fails(F_write)) || fails(F_write_any))
        return -1;
    return REAL(write)(fd, bytes, size);
}

pid_t fork(void)
{
    pid_t pid = fails(F_fork) ? -1 : REAL(fork)();

    if (pid == 0) {
        if (in_fork == 1)
            counted = (pid_t)syscall(SYS_getpid);
        in_fork = 0;
    } else if (in_fork > 0) {
        in_fork--;
    }
    return pid;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(F_ioctl) ? -1 : REAL(ioctl)(fd, request, argument);
}

int ttyname_r(int fd, char *name, size_t size)
{
    return fails(F_ttyname_r) ? problem : REAL(ttyname_r)(fd, name, size);
}

/* Functions without special cases. */
#define WRAP(type, failure, f, parameters, arguments)        \
    type f parameters                                        \
    {                                                        \
        return fails(F_##f) ? (failure) : REAL(f) arguments; \
    }

WRAP(int, -1, pipe, (int ends[2]), (ends))
WRAP(ssize_t, -1, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
WRAP(ssize_t, -1, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
WRAP(int, -1, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(void *, MAP_FAILED, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
     (at, size, prot, flags, fd, offset))
WRAP(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(int, -1, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, -1, socketpair, (int domain, int type, int protocol, int ends[2]),
     (domain, type, protocol, ends))
WRAP(int, -1, flock, (int fd, int operation), (fd, operation))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, posix_openpt, (int flags), (flags))
WRAP(int, -1, grantpt, (int fd), (fd))
WRAP(int, -1, unlockpt, (int fd), (fd))
WRAP(int, -1, tcgetattr, (int fd, struct termios *mode), (fd, mode))
WRAP(int, -1, tcsetattr, (int fd, int when, const struct termios *mode), (fd, when, mode))
WRAP(int, -1, sigaction, (int number, const struct sigaction *now, struct sigaction *before),
     (number, now, before))
WRAP(char *, NULL, getcwd, (char *out, size_t size), (out, size))
WRAP(int, -1, fstat, (int fd, struct stat *info), (fd, info))
WRAP(int, -1, unlink, (const char *path), (path))
WRAP(FILE *, NULL, open_memstream, (char **text, size_t *size), (text, size))
WRAP(pid_t, -1, tcgetpgrp, (int fd), (fd))
WRAP(int, -1, tcsetpgrp, (int fd, pid_t group), (fd, group))
WRAP(int, -1, setpgid, (pid_t pid, pid_t group), (pid, group))
WRAP(pid_t, -1, setsid, (void), ())
WRAP(pid_t, -1, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
WRAP(int, -1, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
     (type, id, info, options))
WRAP(int, -1, access, (const char *path, int mode), (path, mode))
WRAP(ssize_t, -1, readlink, (const char *path, char *out, size_t size), (path, out, size))
WRAP(ssize_t, -1, pread, (int fd, void *bytes, size_t size, off_t at), (fd, bytes, size, at))
WRAP(char *, NULL, ptsname, (int fd), (fd))
WRAP(char *, NULL, strndup, (const char *text, size_t size), (text, size))
WRAP(int, -1, kill, (pid_t pid, int number), (pid, number))
WRAP(int, -1, gethostname, (char *out, size_t size), (out, size))
WRAP(int, -1, dup2, (int from, int to), (from, to))
WRAP(DIR *, NULL, opendir, (const char *path), (path))
