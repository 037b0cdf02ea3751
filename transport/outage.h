/* A dashboard that does not answer: how long the end of a run may wait, and which process continues
 * after the wrapper. STATE_DIR/unanswered holds the URL of the dashboard if it did not answer the
 * last run, and is empty otherwise. The one process that continues holds a lock (flock) on this
 * file. */
#ifndef NIXFLEET_OUTAGE_H
#define NIXFLEET_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "../config/config.h"

struct outage {
    int fd;        /* of the file; -1: none */
    bool known;    /* an earlier run got no answer */
    bool answered; /* this run got an answer */
};

/* No call here waits for a disk longer than 0.1 s, except outage_stay.

   config->url must be set. A file that cannot be opened counts as empty. */
void outage_open(struct outage *outage, const struct config *config);
/* To be called after an answer of any kind. */
void outage_answered(struct outage *outage, const struct config *config);
/* To be called if there is no answer: notes this for the next runs. */
void outage_note(struct outage *outage, const struct config *config);
/* The milliseconds that the end of the run may wait, in total, for answers that may never come;
 * less than the flush timeout. */
int64_t outage_patience_ms(const struct outage *outage, const struct config *config);
/* True if this process is the one that continues after the wrapper; this holds until the process
 * ends. */
bool outage_stay(struct outage *outage, const struct config *config);

#endif
