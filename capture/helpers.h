/* The two helpers of a run: nixfleet-report as shipper and as heartbeat. docs/helpers.md is their
   contract. They may die, stop or be missing at any moment; the command never notices. */
#ifndef NIXFLEET_HELPERS_H
#define NIXFLEET_HELPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "runlog.h"
#include "status.h"

#define HELPERS_PROBLEMS_MAX 16

enum { HELPER_SHIP, HELPER_BEAT, HELPER_COUNT };

struct helper {
    pid_t pid;          /* -1: not running */
    int pipe;           /* write end: pokes, and end of file when we die; -1 */
    int starts;         /* so far */
    int64_t restart_ms; /* monotonic time of the next start; 0: none is due */
    bool last_start;    /* started after the end of the run */
    bool alone;         /* it continues after our end: neither waited for nor killed */
};

struct helpers {
    char *program;      /* path of nixfleet-report, or NULL */
    char **environment; /* for the helpers only */
    int control_read, control_write;
    const struct run_log *log;
    struct helper one[HELPER_COUNT];
    bool
        run_ended; /* set when the run is over: a helper started after this finds its pipe closed */
    bool stop_asked;                      /* the dashboard wants the command ended */
    char *problems[HELPERS_PROBLEMS_MAX]; /* lines for the person, none twice; written when the
                                             terminal is restored */
    size_t problem_count, problems_said;
    char partial[512]; /* of an incomplete line */
    size_t partial_length;
};

/* Where nixfleet-report is: NIXFLEET_REPORT, else beside this program, else in ../libexec/nixfleet
   of it, else LIBEXECDIR. The caller frees it; NULL if it does not exist. */
char *helpers_find_program(void);

/* Takes ownership of program and environment (and its entries). No helper is started if the log has
 * no page with a descriptor. */
void helpers_init(struct helpers *helpers, char *program, char **environment,
                  const struct run_log *log);
/* Starts both. */
void helpers_start(struct helpers *helpers);
/* To be called after SIGCHLD with a pid from waitpid: a helper that died is started again a little
 * later, a few times. */
void helpers_reaped(struct helpers *helpers, pid_t pid, int status);
/* Starts the helpers that are due; returns the milliseconds until the next start, or -1. */
int64_t helpers_tick(struct helpers *helpers);
/* Reads the messages of the helpers. */
void helpers_read_control(struct helpers *helpers);
/* Wakes the shipper if it sleeps. */
void helpers_poke(struct helpers *helpers);
/* Notes a problem for the person; a text that was noted before is dropped. */
void helpers_problem(struct helpers *helpers, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The run has ended (page->end is set): end of file tells them. */
void helpers_run_ended(struct helpers *helpers);
/* Whether there is a helper to wait for. */
bool helpers_running(const struct helpers *helpers);
/* Kills the helpers that are left, except one that continues alone, and waits for them a moment. */
void helpers_kill(struct helpers *helpers);
void helpers_free(struct helpers *helpers);

#endif
