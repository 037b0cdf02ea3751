/* One run of the state directory that a dashboard does not have completely, and its delivery
   without a pump. */
#ifndef NIXFLEET_STORED_RUN_H
#define NIXFLEET_STORED_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "../capture/runlog.h"
#include "../config/config.h"
#include "http/post.h"

struct stored_run {
    struct run_record record;
    int run_fd, marks_fd, log_fd; /* -1: none */
    const char *log_problem;      /* why there is no log_fd */
};

enum stored_result {
    STORED_DONE,     /* nothing is missing any more */
    STORED_LATER,    /* not delivered: the dashboard could not be reached */
    STORED_UNWANTED, /* not delivered, and other runs of this host would not be, either */
    STORED_REFUSED,  /* of stored_run_open: not available; of stored_run_deliver: the dashboard will
                        never accept it */
    STORED_KEPT,    /* incomplete: the dashboard refused a part, which a later version may accept */
    STORED_TROUBLED /* not delivered: the dashboard answers, and may fail at this run only */
};

struct stored_failure {
    int status; /* of STORED_TROUBLED */
    char reason[POST_REASON_SIZE];
};

/* Whether a run is undelivered. config: only if the run is for the dashboard in config, and that
 * dashboard has not refused a part of it; NULL: for any. Reads only small files. */
bool stored_run_undelivered(const char *dir, const char *id, const struct config *config);
/* Opens and locks a run, and reads its record again, because another process may just have
   delivered it. Waits for that process until until_ms (monotonic). STORED_LATER: the caller must
   deliver it. STORED_DONE: nothing to do. STORED_REFUSED: it could not be opened or locked. To be
   closed in any case. */
enum stored_result stored_run_open(struct stored_run *run, const char *dir, const char *id,
                                   const struct config *config, int64_t until_ms);
void stored_run_close(struct stored_run *run);
/* Delivers the run to the dashboard in config, with tokens, as long as the dashboard accepts it. */
enum stored_result stored_run_deliver(struct stored_run *run, const struct config *config,
                                      struct token_set *tokens, struct problems *problems,
                                      struct stored_failure *failure);

#endif
