/* The two helpers of a run: nixfleet-report as shipper and as heartbeat. docs/helpers.md describes
   what they get. They may die, stop or be missing at any moment; the command does not notice. */
#ifndef NIXFLEET_HELPERS_H
#define NIXFLEET_HELPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "runlog.h"
#include "status.h"

#define HELPERS_PROBLEMS_MAX 16

enum { HELPER_SHIPPER, HELPER_HEARTBEAT, HELPER_COUNT };

struct helper {
    pid_t pid; /* -1: not running */
    /* write end: bytes wake the helper, end of file tells it that we have ended; -1: none */
    int pipe;
    int starts;         /* so far */
    int64_t restart_ms; /* monotonic time of the next start; 0: no start is planned */
    bool last_start;    /* started after the end of the run */
    bool alone;         /* it continues after our end; we neither wait for it nor kill it */
};

struct helpers {
    char *program;      /* the path of nixfleet-report; NULL: not found */
    char **environment; /* only for the helpers */
    int control_read, control_write;
    const struct run_log *log;
    struct helper one[HELPER_COUNT];
    bool run_ended;  /* the run has ended: a helper that starts now finds its pipe closed */
    bool stop_asked; /* the dashboard asks to stop the command */
    /* lines for a person, without duplicates; printed after the terminal is restored */
    char *problems[HELPERS_PROBLEMS_MAX];
    size_t problem_count, problems_said;
    char partial[512]; /* an incomplete line */
    size_t partial_length;
};

/* Finds nixfleet-report: NIXFLEET_REPORT, else beside this program, else in ../libexec/nixfleet,
   else in LIBEXECDIR. The caller frees the path. NULL if there is none. */
char *helpers_find_program(void);

/* Takes ownership of program, and of environment with its entries. No helper is started if the page
 * of the log has no descriptor. */
void helpers_init(struct helpers *helpers, char *program, char **environment,
                  const struct run_log *log);
/* Starts both helpers. */
void helpers_start(struct helpers *helpers);
/* To be called after SIGCHLD with each pid from waitpid. A helper that died is started again after
 * a pause, a few times. */
void helpers_reaped(struct helpers *helpers, pid_t pid, int status);
/* Starts the helpers whose pause is over. Returns the milliseconds until the next start; -1: none
 * is planned. */
int64_t helpers_tick(struct helpers *helpers);
/* Reads the messages of the helpers. To be called when the control pipe is readable. */
void helpers_read_control(struct helpers *helpers);
/* Wakes the shipper if it sleeps. Never waits. */
void helpers_wake(struct helpers *helpers);
/* Notes a problem for a person. Drops a text that was noted before. */
void helpers_problem(struct helpers *helpers, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* To be called when the run has ended (page->end is set). The helpers see the end of file of their
 * pipes. */
void helpers_run_ended(struct helpers *helpers);
/* Whether there is a helper to wait for. */
bool helpers_running(const struct helpers *helpers);
/* Kills the remaining helpers, except one that continues alone, and waits a moment for them. */
void helpers_kill(struct helpers *helpers);
void helpers_free(struct helpers *helpers);

#endif
