/* Turns lines into their meaning: the phase of a run, its progress, what failed and why. Pure: text
   in, values out. docs/formats.md describes the formats. One struct phase for each run; it gets
   every line once, in order, and each state of a line that is redrawn. Memory is bounded (see the
   limits below). */
#ifndef NIXFLEET_PHASE_H
#define NIXFLEET_PHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/progress.h"

enum phase_id {
    PHASE_NONE,
    PHASE_EVALUATING,
    PHASE_FETCHING,
    PHASE_BUILDING,
    PHASE_ACTIVATING,
    PHASE_SWITCHING,
    PHASE_PULLING,
    PHASE_UPDATING,
    PHASE_TESTING,
    PHASE_DONE,
    PHASE_FAILED
};
enum phase_outcome { OUTCOME_UNKNOWN, OUTCOME_SUCCESS, OUTCOME_FAILURE, OUTCOME_UNITS_FAILED };

#define PHASE_NAMES_MAX 64  /* failed derivations, failed units: only the first ones are kept */
#define PHASE_ERRORS_MAX 64 /* errors: a cause replaces a consequence */
#define PHASE_HISTORY_MAX 64
/* Bytes of a text that are shown, and bytes that are kept: a secret that begins in the shown part
 * must be complete, so that it is recognized and redacted. */
#define PHASE_TEXT_SHOWN 511
#define PHASE_TEXT_SIZE (PHASE_TEXT_SHOWN + 1 + 1024)
#define PHASE_CURRENT_SHOWN PROGRESS_CURRENT_SHOWN
#define PHASE_CURRENT_SIZE PROGRESS_CURRENT_SIZE
/* hosts that are named in front of lines; further hosts are not distinguished */
#define PHASE_HOSTS_MAX 256
#define PHASE_HOST_SIZE 64

struct phase_names {
    char *name[PHASE_NAMES_MAX]; /* owned by the struct phase */
    size_t count;
};

/* Causes before consequences, without duplicates; otherwise in the order of the lines. */
struct phase_errors {
    const char *text[PHASE_ERRORS_MAX];
    int64_t line[PHASE_ERRORS_MAX]; /* the line numbers given to phase_line */
    size_t count;
};

/* A host that is named in front of lines (journald, colmena, nixops, deploy-rs). */
struct phase_host {
    char name[PHASE_HOST_SIZE];
    enum phase_id phase;
    struct phase_names failed_units;
};

/* What is known now. Pointers are valid until the next call on the struct phase. */
struct phase_view {
    enum phase_id phase;      /* of several hosts: the phase that was entered last */
    struct progress progress; /* never falls: built <= to_build, and percentages do not fall. Of
                                 several hosts: the sum */
    enum phase_id history[PHASE_HISTORY_MAX]; /* in order; no phase twice in a row */
    size_t history_count;
    struct phase_errors errors; /* also errors that the command survived */
    struct phase_names failed, failed_units;
    char error[PHASE_TEXT_SIZE]; /* the error that caused the failure; "" if there is none, and
                                    after a success */
    int64_t error_line;          /* its line number as given to phase_line; -1: none */
    enum phase_outcome outcome;
    const struct phase_host *const *hosts;
    size_t host_count;
};

enum derivation_state {
    DERIVATION_WAITING,
    DERIVATION_BUILDING,
    DERIVATION_BUILT,
    DERIVATION_FAILED,
    DERIVATION_FETCHED
};

#define PHASE_DERIVATIONS_MAX 10000 /* of a run; only the first ones are kept */

/* A derivation that is built, or a path that is fetched. */
struct derivation {
    char name[96]; /* without hash and .drv */
    enum derivation_state state;
    int64_t started_ms, ended_ms; /* from phase_time; -1: not known */
    char machine[64];             /* where it is built; "": on this machine */
    char step[32];                /* the last phase that the builder reported: "buildPhase" */
    int64_t line, lines; /* the first line of its output (-1: none), and the number of lines */
    bool only_named;     /* its store path is not known */
    bool stopped;        /* its builder has ended; another message says whether it succeeded */
    uint32_t version;    /* rises with each change */
};

struct phase;
/* label: the name of the run (switch, pull, update, test…), or NULL; only a hint. NULL when out of
 * memory. */
struct phase *phase_new(const char *label);
void phase_free(struct phase *phase);
/* Takes one line: UTF-8 without escape sequences, no LF. line: its index in the run. redrawn: this
   is a state of a line that will be overwritten (a progress bar); the same line may come again. */
void phase_line(struct phase *phase, const char *text, size_t length, int64_t line, bool redrawn);
/* Take the counts that a tool reports besides its text (internal-json), for the nix command that
   runs. A smaller `done` than before belongs to the next nix command. */
void phase_builds(struct phase *phase, int64_t running, int64_t done, int64_t expected,
                  int64_t failed);
void phase_paths(struct phase *phase, int64_t running, int64_t done, int64_t expected);
void phase_download(struct phase *phase, int64_t done, int64_t expected);
/* Take what nix's internal log says (the file of its setting json-log-path): counts of each
   process, and what begins. These messages are always nix's own, so they need no check. */
void phase_record_builds(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                         int64_t expected, int64_t failed);
void phase_record_paths(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                        int64_t expected);
void phase_record_started(struct phase *phase, const char *path, const char *machine, bool build);
/* The path or derivation is done (internal-json says so; text does not). */
void phase_path_ended(struct phase *phase, const char *path);
/* The builder of path begins this phase of its own. */
void phase_builder_step(struct phase *phase, const char *path, const char *step);
/* The lines that follow are from the builder of this derivation; NULL: no longer. */
void phase_owner(struct phase *phase, const char *path);
/* The wall time of what follows, in milliseconds since the epoch. Without a call, times are not
 * known. */
void phase_time(struct phase *phase, int64_t now_ms);
/* The derivations, in the order in which they were named first. The pointer is valid until the next
   line. NULL: no derivation has this index. */
size_t phase_derivation_count(const struct phase *phase);
const struct derivation *phase_derivation(const struct phase *phase, size_t index);
/* The index of the derivation with this store path; SIZE_MAX: none. */
size_t phase_derivation_at(const struct phase *phase, const char *path);
/* The name of the state in docs/protocol.md; constant text. */
const char *derivation_state_name(enum derivation_state state);
/* The run has ended (code: exit status, or number of the signal). Sets the phase to done or failed,
 * and the outcome. */
void phase_end(struct phase *phase, bool by_signal, int code);
/* The same if only the text is known (for --analyze): success only if the text proves it. */
void phase_end_unknown(struct phase *phase);
/* What is known now. */
const struct phase_view *phase_view(struct phase *phase);
const char *phase_name(enum phase_id id); /* "" for PHASE_NONE */

#endif
