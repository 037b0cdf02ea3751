/* `nixfleet-report heartbeat`: the child of a run that posts a heartbeat every few seconds, and
 * `lost` at once if the pump has died. It shares only the status page with the shipper, so no
 * upload can delay a heartbeat. */
#ifndef NIXFLEET_HEARTBEAT_H
#define NIXFLEET_HEARTBEAT_H

#include "../config/config.h"

/* Returns the exit status: 0 unless it could not start. */
int heartbeat_main(const struct config *config);

#endif
