/* Delivers the undelivered output of earlier runs (`nixfleet-run --flush`). */
#ifndef NIXFLEET_SPOOL_H
#define NIXFLEET_SPOOL_H

#include <stdbool.h>

#include "../config/config.h"

/* Delivers every undelivered run of the dashboard in config, oldest first, with its end or as lost.
 * Prints nothing. Waits for a run that another process delivers, up to the flush timeout. except:
 * the id of a run to skip, or NULL. */
void spool_deliver(const struct config *config, const char *except);
/* Whether there may be undelivered runs for that dashboard. Reads only small files. */
bool spool_has_undelivered(const struct config *config, const char *except);
/* `nixfleet-report flush`: delivers every undelivered run to the dashboard for which it was
 * recorded, with the settings for that dashboard. Returns 0 if nothing is undelivered any more;
 * else 1, after a line with the reason for each dashboard on stderr. */
int flush_main(const struct config *config);

#endif
