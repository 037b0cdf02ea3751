/* `nixfleet-report beat`: the child of a run that says every few seconds that it lives, and at once
   when its pump has died without a word. It shares nothing with the shipper but the status page, so
   no upload can delay a beat. */
#ifndef NIXFLEET_HEARTBEAT_H
#define NIXFLEET_HEARTBEAT_H

#include "../config/config.h"

/* Returns the exit status: 0 unless it could not start. */
int heartbeat_main(const struct config *config);

#endif
