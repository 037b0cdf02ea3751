/* What shipper and heartbeat do first: a session of their own, a name for ps(1), no signal that a
 * terminal sends, no core, and no directory of the caller's. */
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
/* From now on nobody waits for this process: SIGTERM ends it, as a service that stops expects. */
void helper_stay_behind(void);
/* In a child: ask the system to kill it when parent goes, where it can do that. */
void helper_die_with(pid_t parent);

#endif
