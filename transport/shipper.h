/* `nixfleet-report ship`: the child of a run that brings its lines to the dashboard
   (docs/helpers.md has its descriptors). May be killed or stopped at any time: everything that it
   knows is in the log, and the next one goes on from there. */
#ifndef NIXFLEET_SHIPPER_H
#define NIXFLEET_SHIPPER_H

#include "../config/config.h"

/* Returns the exit status: 0 unless it could not start. */
int shipper_main(const struct config *config);

#endif
