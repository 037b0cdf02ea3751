/* The start of a helper process. What is Linux-only stands between its #ifdefs and can be missed
 * elsewhere. */
#include "helper.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

void helper_start(const char *title)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGTSTP,
                                  SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ};

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN); /* cannot fail for these */
    (void)setsid();                        /* fails where the pump has done it */
#ifdef __linux__
    setproctitle("%s", title);
    (void)prctl(PR_SET_NAME, title);
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT); /* one that is stopped hears of the pump's end, too */
#else
    (void)title;
#endif
}

void helper_stay_behind(void)
{
    (void)signal(SIGTERM, SIG_DFL); /* cannot fail */
}

void helper_die_with(pid_t parent)
{
#ifdef __linux__
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(0);
#else
    (void)parent;
#endif
}
