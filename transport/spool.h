/* What earlier runs still owe a dashboard: delivering it (`nixfleet-run --flush`). */
#ifndef NIXFLEET_SPOOL_H
#define NIXFLEET_SPOOL_H

#include <stdbool.h>

#include "../config/config.h"

/* Delivers every run that is owed to the dashboard that config names, oldest first, each with its
   exit or as lost, and says nothing. A run that another process delivers is waited for, up to the
   flush timeout. `except` is the id of a run that is none of these; NULL: all are. */
void spool_deliver(const struct config *config, const char *except);
/* Whether there may be something to deliver to that dashboard. Reads small files, no more. */
bool spool_has_undelivered(const struct config *config, const char *except);
/* `nixfleet-report flush`: delivers every run that is owed to the dashboard that it was meant for,
   with the settings for that one. Returns 0 when nothing is owed any more, else 1, and says why in
   a line for each dashboard on stderr. */
int flush_main(const struct config *config);

#endif
