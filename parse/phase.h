/* Lines to meaning: which phase a run is in, how far it has come, what failed and why. Pure: text
   in, values out. Formats: docs/formats.md. One struct phase per run; feed it every line once, in
   order, and each state of a line that is redrawn. Memory is bounded (see the limits below). */
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

#define PHASE_NAMES_MAX 64  /* failed derivations, failed units: the first that many are kept */
#define PHASE_ERRORS_MAX 64 /* errors: causes push consequences out */
#define PHASE_HISTORY_MAX 64
/* Bytes of a text that are shown, and that are kept: a secret that begins in what is shown must be
 * there as a whole, to be known and redacted. */
#define PHASE_TEXT_SHOWN 511
#define PHASE_TEXT_SIZE (PHASE_TEXT_SHOWN + 1 + 1024)
#define PHASE_CURRENT_SHOWN PROGRESS_CURRENT_SHOWN
#define PHASE_CURRENT_SIZE PROGRESS_CURRENT_SIZE
#define PHASE_HOSTS_MAX 256 /* hosts that lines name before their text; more are not told apart */
#define PHASE_HOST_SIZE 64

struct phase_names {
    char *name[PHASE_NAMES_MAX]; /* owned by the struct phase */
    size_t count;
};

/* Causes before consequences, no text twice; otherwise in the order of the lines. */
struct phase_errors {
    const char *text[PHASE_ERRORS_MAX];
    int64_t line[PHASE_ERRORS_MAX]; /* as given to phase_line */
    size_t count;
};

/* A host that lines name before their text (journald, colmena, nixops, deploy-rs). */
struct phase_host {
    char name[PHASE_HOST_SIZE];
    enum phase_id phase;
    struct phase_names failed_units;
};

struct phase_view { /* what is known now; pointers live until the next call on the struct phase */
    enum phase_id phase;      /* of several hosts: the one that was entered last */
    struct progress progress; /* never jumps back for a viewer: built <= to_build, percentages do
                                 not fall; of several hosts: their sum */
    enum phase_id history[PHASE_HISTORY_MAX]; /* in order, no repeats in a row */
    size_t history_count;
    struct phase_errors errors; /* also those that the command survived */
    struct phase_names failed, failed_units;
    char error[PHASE_TEXT_SIZE]; /* the error that matters, "" if none, and after a success */
    int64_t error_line;          /* its line number as given to phase_line, -1 if none */
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

#define PHASE_DERIVATIONS_MAX 10000 /* of a run: the first that many are kept */

/* A derivation that is built, or a path that is fetched. */
struct derivation {
    char name[96]; /* without hash and .drv */
    enum derivation_state state;
    int64_t started_ms, ended_ms; /* as phase_time said; -1: not known */
    char machine[64];             /* where it is built; "": here */
    char step[32];                /* the builder's own phase, as it said last: "buildPhase" */
    int64_t line, lines; /* the first of its own lines (-1: none), and how many there are */
    bool only_named;     /* its store path is not known */
    bool stopped;        /* its builder is gone: whether it succeeded is said apart */
    uint32_t version;    /* rises with each change */
};

struct phase;
/* label: what the run is called (switch, pull, update, test…), or NULL; a hint only. NULL when out
 * of memory. */
struct phase *phase_new(const char *label);
void phase_free(struct phase *phase);
/* One line: UTF-8 without escape sequences, no LF. line: its index in the run. redrawn: this is a
   state of a line that is about to be overwritten (a progress bar); the same line may come
   again. */
void phase_line(struct phase *phase, const char *text, size_t length, int64_t line, bool redrawn);
/* Counts that a tool reports apart from its text (internal-json), of the call that runs: a smaller
   done than before is the next call's. */
void phase_builds(struct phase *phase, int64_t running, int64_t done, int64_t expected,
                  int64_t failed);
void phase_paths(struct phase *phase, int64_t running, int64_t done, int64_t expected);
void phase_download(struct phase *phase, int64_t done, int64_t expected);
/* What nix's own record says (the file of its setting json-log-path), which needs no belief: counts
   by process, and what begins. */
void phase_record_builds(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                         int64_t expected, int64_t failed);
void phase_record_paths(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                        int64_t expected);
void phase_record_started(struct phase *phase, const char *path, const char *machine, bool build);
/* The path or derivation is done (internal-json says so; text does not). */
void phase_path_ended(struct phase *phase, const char *path);
/* Its builder begins this phase of its own. */
void phase_builder_step(struct phase *phase, const char *path, const char *step);
/* The lines that come next are of the builder of this derivation; NULL: no longer. */
void phase_owner(struct phase *phase, const char *path);
/* The wall time of what comes next, in ms since the epoch; without it times are not known. */
void phase_time(struct phase *phase, int64_t now_ms);
/* The derivations that were named, in the order in which they were named first. The pointer lives
   until the next line. NULL: there is none of that index. */
size_t phase_derivation_count(const struct phase *phase);
const struct derivation *phase_derivation(const struct phase *phase, size_t index);
const char *derivation_state_name(enum derivation_state state);
/* The run has ended (code: exit status, or signal number). Sets done or failed and the outcome. */
void phase_end(struct phase *phase, bool by_signal, int code);
/* The same as far as the text alone tells (for --analyze): success only if the text proves it. */
void phase_end_unknown(struct phase *phase);
const struct phase_view *phase_view(struct phase *phase);
const char *phase_name(enum phase_id id); /* "" for PHASE_NONE */

#endif
