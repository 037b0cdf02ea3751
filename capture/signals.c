/* The self-pipe: a handler may do little more than write a byte. */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

/* SIGALRM also comes from an alarm(2) that was set before we were executed. */
static const int caught[] = {SIGCHLD, SIGWINCH, SIGTERM,  SIGINT,  SIGHUP,
                             SIGQUIT, SIGTSTP,  SIGCONT,  SIGUSR1, SIGUSR2,
#ifdef SIGPWR
                             SIGPWR,
#endif
                             SIGALRM, SIGPROF,  SIGVTALRM};
/* SIGXFSZ and SIGXCPU: the caller's limits are for the command, not for us. Beyond the one on the
 * size of files the log ends, and nothing else does. */
static const int ignored[] = {SIGPIPE, SIGTTIN, SIGTTOU, SIGXFSZ, SIGXCPU};

#define CAUGHT (sizeof caught / sizeof *caught)
#define IGNORED (sizeof ignored / sizeof *ignored)

static int write_end = -1; /* the only thing that a handler needs */
static struct sigaction before_caught[CAUGHT], before_ignored[IGNORED];
static sigset_t before_mask;

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;

    if (write(write_end, &byte, 1) < 0) {
        /* A full pipe already holds enough to wake the loop, which looks at the state and not at
         * counts. */
    }
    errno = saved;
}

static int make_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0)
            return -1;
    return 0;
}

int signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t ours;
    int ends[2];

    if (make_pipe(ends) < 0)
        return -1;
    write_end = ends[1];
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++) {
        sigaction(caught[i], NULL, &before_caught[i]);
        if (before_caught[i].sa_handler != SIG_IGN || caught[i] == SIGCHLD)
            sigaction(caught[i], &action, NULL);
    }
    for (size_t i = 0; i < IGNORED; i++)
        sigaction(ignored[i], &ignore, &before_ignored[i]);
    sigemptyset(&ours); /* whatever the caller had blocked: a hangup must reach us */
    sigprocmask(SIG_SETMASK, &ours, &before_mask);
    return ends[0];
}

void signals_restore(void)
{
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &before_caught[i], NULL);
    for (size_t i = 0; i < IGNORED; i++)
        sigaction(ignored[i], &before_ignored[i], NULL);
    sigprocmask(SIG_SETMASK, &before_mask, NULL);
}

static void unblock(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void signals_die_of(int number)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none); /* the command has dumped what there is to see */
    signal(number, SIG_DFL);
    unblock(number);
    kill(getpid(), number);
}

void signals_stop_by(int number, int own_group)
{
    struct sigaction before, standard = {.sa_handler = SIG_DFL};

    if (number != SIGSTOP)
        sigaction(number, &standard, &before);
    unblock(number);
    kill(own_group ? 0 : getpid(), number); /* here we stop, until SIGCONT */
    if (number != SIGSTOP)
        sigaction(number, &before, NULL);
}
