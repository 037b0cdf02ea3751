/* The first steps of shipper and heartbeat: a new session, a name for ps(1), no signals from a
 * terminal, no core dump, and another working directory. */
#ifndef NIXFLEET_HELPER_H
#define NIXFLEET_HELPER_H

#include <sys/types.h>

#include "../capture/status.h"
#include "http/token.h"

/* Starts a helper. SIGTERM is ignored, so that a service that is being stopped still delivers its
   last lines. The helper ends by itself soon after the run in any case. */
void helper_start(const char *title);
/* A token file that is a pipe can be read only once: the shipper reads the token and stores it on
   the page, where the heartbeat and a restarted shipper find it. Both functions wait for the token,
   but not for long after the end of the run. */
void helper_read_token(struct token_set *tokens, struct status_page *page);
void helper_wait_for_token(struct token_set *tokens, struct status_page *page);
/* From now on no process waits for this one, so SIGTERM ends it, as a service manager expects. */
void helper_stay_behind(void);
/* To be called in a child: asks the system to kill it when parent ends, if the system supports
 * that. */
void helper_die_with(pid_t parent);

#endif
