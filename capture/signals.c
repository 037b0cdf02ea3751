/* Signals as events: by a signalfd on Linux, else by handlers and a pipe. */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/signalfd.h>
#endif

static sigset_t before_mask;

#ifdef __linux__

static struct sigaction before_child;

static int open_source(void)
{
    sigset_t all;

    sigfillset(&all);
    return signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
}

int signals_catch(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t all;
    int fd = open_source();

    if (fd < 0)
        return -1;
    sigfillset(&all); /* also signals that the caller has blocked, because a hangup must reach us */
    sigprocmask(SIG_BLOCK, &all, &before_mask);
    /* If the caller ignores SIGCHLD, the kernel reaps our children and their status is lost. */
    sigaction(SIGCHLD, &standard, &before_child);
    return fd;
}

int signals_catch_again(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    return open_source();
}

bool signals_next(int fd, struct caught_signal *caught)
{
    struct signalfd_siginfo info;
    ssize_t n;

    do
        n = read(fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof info)
        return false;
    caught->number = (int)info.ssi_signo;
    caught->by_kernel = info.ssi_code > 0;
    caught->sender = caught->by_kernel ? 0 : (pid_t)info.ssi_pid;
    return true;
}

bool signals_ignored(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

void signals_restore(void)
{
    sigaction(SIGCHLD, &before_child, NULL);
    sigprocmask(SIG_SETMASK, &before_mask, NULL);
}

#else

/* SIGALRM may also come from an alarm(2) that was set before this program was executed. */
static const int caught_ones[] = {SIGCHLD, SIGWINCH, SIGTERM, SIGINT,    SIGHUP,
                                  SIGQUIT, SIGTSTP,  SIGCONT, SIGUSR1,   SIGUSR2,
                                  SIGALRM, SIGPROF,  SIGURG,  SIGVTALRM, SIGIO};
/* SIGXFSZ and SIGXCPU: the limits of the caller are for the command. */
static const int ignored_ones[] = {SIGPIPE, SIGTTIN, SIGTTOU, SIGXFSZ, SIGXCPU};

#define CAUGHT (sizeof caught_ones / sizeof *caught_ones)
#define IGNORED (sizeof ignored_ones / sizeof *ignored_ones)

static int write_end = -1; /* all that a handler needs */
static struct sigaction before_caught[CAUGHT], before_ignored[IGNORED];

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct caught_signal caught = {.number = number, .by_kernel = info->si_code > 0};
    int saved = errno;

    (void)context;
    caught.sender = caught.by_kernel ? 0 : info->si_pid;
    if (write(write_end, &caught, sizeof caught) < 0) {
        /* A full pipe wakes the loop as well; the loop looks at the state, not at the number of
         * bytes. */
    }
    errno = saved;
}

static int open_source(void)
{
    int ends[2];

    if (pipe(ends) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0)
            return -1;
    write_end = ends[1];
    return ends[0];
}

int signals_catch(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;
    int fd = open_source();

    if (fd < 0)
        return -1;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++) {
        sigaction(caught_ones[i], NULL, &before_caught[i]);
        if (before_caught[i].sa_handler != SIG_IGN || caught_ones[i] == SIGCHLD)
            sigaction(caught_ones[i], &action, NULL);
    }
    for (size_t i = 0; i < IGNORED; i++)
        sigaction(ignored_ones[i], &ignore, &before_ignored[i]);
    sigemptyset(&none); /* whatever the caller has blocked: a hangup must reach us */
    sigprocmask(SIG_SETMASK, &none, &before_mask);
    return fd;
}

int signals_catch_again(void)
{
    return open_source();
}

bool signals_next(int fd, struct caught_signal *caught)
{
    ssize_t n;

    do
        n = read(fd, caught, sizeof *caught);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *caught;
}

bool signals_ignored(int number)
{
    for (size_t i = 0; i < CAUGHT; i++)
        if (caught_ones[i] == number)
            return before_caught[i].sa_handler == SIG_IGN;
    return false;
}

void signals_restore(void)
{
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught_ones[i], &before_caught[i], NULL);
    for (size_t i = 0; i < IGNORED; i++)
        sigaction(ignored_ones[i], &before_ignored[i], NULL);
    sigprocmask(SIG_SETMASK, &before_mask, NULL);
}

#endif

bool signals_waits(int number)
{
    sigset_t waiting;

    return sigpending(&waiting) == 0 && sigismember(&waiting, number) == 1;
}

static void change_mask(int how, int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(how, &set, NULL);
}

void signals_die_of(int number)
{
    signal(number, SIG_DFL);
    kill(getpid(), number);
    change_mask(SIG_UNBLOCK, number);
}

void signals_stop_by(int number, bool own_group)
{
    struct sigaction before, standard = {.sa_handler = SIG_DFL};

    if (number == SIGSTOP) {
        kill(own_group ? 0 : getpid(), number);
        return;
    }
    sigaction(number, &standard, &before);
    /* so that a signal that is already waiting does not stop us twice */
    change_mask(SIG_BLOCK, number);
    kill(own_group ? 0 : getpid(), number);
    change_mask(SIG_UNBLOCK, number); /* this call stops us, until SIGCONT */
#ifdef __linux__
    change_mask(SIG_BLOCK, number);
#endif
    sigaction(number, &before, NULL);
}
