#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/io.h"

/* milliseconds; the child has closed its pipe and is about to exit */
#define REAP_TRIES 50
/* Reads until the end of file. False if the time is over. */
static bool read_all(int fd, char *text, int limit_ms)
{
    int64_t until = monotonic_ms() + limit_ms, left;
    size_t have = 0;

    while ((left = until - monotonic_ms()) > 0) {
        struct pollfd ready = {fd, POLLIN, 0};
        ssize_t n;

        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        if (have == ASIDE_TEXT_MAX - 1)
            return false;
        n = read(fd, text + have, ASIDE_TEXT_MAX - 1 - have);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n == 0) {
            text[have] = '\0';
            return true;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return false;
}

/* A child that hangs in the kernel is left to init. */
static void reap(pid_t child)
{
    const struct timespec pause = {0, 1000000};

    for (int i = 0; i < REAP_TRIES && waitpid(child, NULL, WNOHANG) == 0; i++)
        nanosleep(&pause, NULL);
}

/* Blocks signals, because our handlers must not run in the child: they would write to our signal
 * pipe. */
static pid_t fork_quietly(void)
{
    sigset_t all, before;
    pid_t child;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    child = fork();
    if (child == 0) {
        for (int number = 1; number < NSIG; number++)
            if (number != SIGKILL && number != SIGSTOP)
                signal(number, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return child;
}

/* Closes all descriptors of the caller in the child, because another process may wait for their end
 * of file. Returns the new number of `out`; -1 on failure. */
static int keep_only(int out)
{
    int null = open("/dev/null", O_RDWR);

    if (null < 0 || out <= STDERR_FILENO)
        return -1;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (dup2(null, fd) < 0)
            return -1;
    if (out != STDERR_FILENO + 1 && dup2(out, STDERR_FILENO + 1) < 0)
        return -1;
    close_from(STDERR_FILENO + 2);
    return fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC) < 0 ? -1 : STDERR_FILENO + 1;
}

char *run_aside(void (*job)(void *context, int out), void *context, int limit_ms)
{
    char *text = malloc(ASIDE_TEXT_MAX);
    int ends[2];
    pid_t child;
    bool whole = false;

    if (!text || pipe2(ends, O_CLOEXEC) < 0) {
        free(text);
        return NULL;
    }
    child = fork_quietly();
    if (child == 0) {
        int out = keep_only(ends[1]);

        if (out >= 0)
            job(context, out);
        _exit(0);
    }
    close(ends[1]);
    if (child > 0) {
        whole = read_all(ends[0], text, limit_ms);
        if (!whole)
            kill(child, SIGKILL);
        reap(child);
    }
    close(ends[0]);
    if (whole)
        return text;
    free(text);
    return NULL;
}
