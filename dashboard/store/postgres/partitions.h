/* The chunks of the runs of one week are one table: a partition. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_PARTITIONS_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_PARTITIONS_H

#include "dashboard/store/postgres/connection.h"

/* Makes the partitions of this week and the next, and drops those of past weeks whose runs are all
 * removed. A failure is logged; the next call tries again. */
void partitions_tend(struct connection *connection);

#endif
