/* The start of a helper process. Code in #ifdefs is Linux-only and optional. */
#include "helper.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "../common/io.h"

void helper_start(const char *title)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGTSTP,
                                  SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ};

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN); /* cannot fail for these signals */
    (void)setsid();                        /* fails if the pump has done it */
    (void)!chdir("/"); /* a core must not be dumped into the caller's directory, nor a file system
                          be kept busy */
#ifdef __linux__
#ifndef __SANITIZE_ADDRESS__         /* the leak checker traces the process */
    (void)prctl(PR_SET_DUMPABLE, 0); /* tokens are in memory */
#endif
    setproctitle("%s", title);
    (void)prctl(PR_SET_NAME, title);
    /* wakes a stopped helper, so that it notices the end of the pump */
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT);
#else
    (void)title;
#endif
}

/* ---- a token from a pipe ---- */

/* the time for writing a token into a pipe: a person may have to answer a question */
#define PIPE_MS 30000
#define LATE_MS 500 /* the same after the end of the run */
#define STEP_MS 20

struct waiting {
    struct status_page *page;
    int64_t ended_ms; /* monotonic time; 0: the run has not ended */
};

static bool too_late(void *context)
{
    struct waiting *waiting = context;

    if (waiting->ended_ms == 0 && atomic_load(&waiting->page->end) != STATUS_RUNNING)
        waiting->ended_ms = monotonic_ms();
    return waiting->ended_ms && monotonic_ms() - waiting->ended_ms > LATE_MS;
}

static void take_from_page(struct token_set *tokens, struct status_page *page)
{
    if (atomic_load(&page->token_state) == STATUS_TOKEN_READ)
        token_set_take(tokens, page->token, "");
    else
        token_set_take(tokens, NULL, "the pipe had no token");
}

void helper_read_token(struct token_set *tokens, struct status_page *page)
{
    struct waiting waiting = {.page = page};

    if (!tokens->pipe)
        return;
    if (atomic_load(&page->token_state) == STATUS_TOKEN_UNKNOWN) {
        token_set_read_pipe(tokens, PIPE_MS, too_late, &waiting);
        if (tokens->file)
            snprintf(page->token, sizeof page->token, "%s", tokens->file);
        atomic_store(&page->token_state, tokens->file ? STATUS_TOKEN_READ : STATUS_TOKEN_NONE);
    } else {
        take_from_page(tokens, page);
    }
}

void helper_wait_for_token(struct token_set *tokens, struct status_page *page)
{
    struct waiting waiting = {.page = page};
    int64_t until_ms = monotonic_ms() + PIPE_MS;

    if (!tokens->pipe)
        return;
    while (atomic_load(&page->token_state) == STATUS_TOKEN_UNKNOWN && !too_late(&waiting) &&
           monotonic_ms() < until_ms)
        (void)poll(NULL, 0, STEP_MS);
    take_from_page(tokens, page);
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
