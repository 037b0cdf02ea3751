/* A dashboard that does not answer: what the end of a run may wait for, and who goes on behind the
   wrapper. STATE_DIR/unanswered holds the URL of a dashboard that the last run got no answer from,
   and is empty otherwise; its lock (flock) is held by the one process that stays behind. */
#ifndef NIXFLEET_AWAY_H
#define NIXFLEET_AWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "../config/config.h"

struct away {
    int fd;        /* of the file; -1: there is none */
    bool known;    /* an earlier run got no answer */
    bool answered; /* this one did */
};

/* config->url must be set. A file that cannot be had is as an empty one. */
void away_open(struct away *away, const struct config *config);
/* There was an answer, whatever it said. */
void away_answered(struct away *away);
/* There is none: the next runs hear of it. */
void away_silent(struct away *away, const struct config *config);
/* Milliseconds that the end of the run may wait in all for answers that may never come; less than
 * the flush timeout. */
int64_t away_patience_ms(const struct away *away, const struct config *config);
/* True if this process is the one that stays behind; it does so until it ends. */
bool away_stay(struct away *away, const struct config *config);

#endif
