/* `nixfleet-report ship`: the child of a run that delivers its lines to the dashboard
 * (docs/helpers.md lists its descriptors). It may be killed or stopped at any time: the log has its
 * whole state, and the next shipper resumes from there. */
#ifndef NIXFLEET_SHIPPER_H
#define NIXFLEET_SHIPPER_H

#include "../config/config.h"

/* Returns the exit status: 0 unless it could not start. */
int shipper_main(const struct config *config);

#endif
