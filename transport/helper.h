/* The first steps of shipper and heartbeat: a new session, a name for ps(1), no signals of a
 * terminal, no core, and no working directory of the caller. */
#ifndef NIXFLEET_HELPER_H
#define NIXFLEET_HELPER_H

#include <sys/types.h>

#include "../capture/status.h"
#include "http/token.h"

/* Also ignores SIGTERM: a service that is stopped must still get its last lines out. The helper
   ends by itself soon after the run, whatever happens. */
void helper_start(const char *title);
/* The token of a token file that is a pipe, which can be read once only: the shipper reads it and
   puts it on the page, where the heartbeat and a shipper that is started again find it. Both wait
   for it, but not for long after the end of the run. */
void helper_read_token(struct token_set *tokens, struct status_page *page);
void helper_wait_for_token(struct token_set *tokens, struct status_page *page);
/* From now on no process waits for this one: SIGTERM ends it, as a service manager expects. */
void helper_stay_behind(void);
/* In a child: asks the system to kill it when parent ends, if the system can do that. */
void helper_die_with(pid_t parent);

#endif
