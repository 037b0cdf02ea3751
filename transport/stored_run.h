/* One run of the state directory that a dashboard does not have yet, and its delivery without a
   pump. */
#ifndef NIXFLEET_STORED_RUN_H
#define NIXFLEET_STORED_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "../capture/runlog.h"
#include "../config/config.h"
#include "http/post.h"

struct stored_run {
    struct run_record record;
    int run_fd, marks_fd, log_fd; /* -1: there is none */
    const char *log_problem;      /* why there is no log_fd */
};

enum stored_result {
    STORED_DONE,     /* nothing is missing any more */
    STORED_LATER,    /* not delivered: the dashboard could not be reached */
    STORED_UNWANTED, /* not delivered, and neither would other runs of this host be */
    STORED_REFUSED,  /* not to be had; of a dashboard: it will never take it */
    STORED_KEPT,     /* not whole: the dashboard refused a part, which a later version may take */
    STORED_TROUBLED  /* not delivered: the dashboard answers, and may fail at this run alone */
};

struct stored_failure {
    int status; /* of STORED_TROUBLED */
    char reason[POST_REASON_SIZE];
};

/* Whether a run is undelivered. config: only if it is for the dashboard that this one names, and
 * that has not refused a part of it; NULL: in any case. Reads small files, no more. */
bool stored_run_undelivered(const char *dir, const char *id, const struct config *config);
/* Opens and locks a run, and reads its record again: another process may just have delivered it.
   Waits for that until until_ms (monotonic). STORED_LATER: it is the caller's to deliver;
   STORED_DONE: nothing to do; STORED_REFUSED: it could not be had. To be closed in any case. */
enum stored_result stored_run_open(struct stored_run *run, const char *dir, const char *id,
                                   const struct config *config, int64_t until_ms);
void stored_run_close(struct stored_run *run);
/* Delivers it to the dashboard that config names, with tokens, as long as that takes what it is
 * sent. */
enum stored_result stored_run_deliver(struct stored_run *run, const struct config *config,
                                      struct token_set *tokens, struct problems *problems,
                                      struct stored_failure *failure);

#endif
