/* The chunks of the runs of one week are one table: a partition. */
#ifndef NIXFLEET_DASHBOARD_STORE_POSTGRES_PARTITIONS_H
#define NIXFLEET_DASHBOARD_STORE_POSTGRES_PARTITIONS_H

#include "dashboard/store/postgres/connection.h"

/* now_ms: PostgreSQL's clock. Makes the partitions of this week and the next, and drops those of
 * past weeks whose runs are all hidden. While other sessions use a partition, such as pg_dump, it
 * is not dropped yet. A failure is logged; the next call tries again. */
void partitions_tend(struct connection *connection, int64_t now_ms);

/* store_lines_wait_from of sql.h: lines of old runs are dropped with the partition of their week.
 * But if a run of the week goes on for weeks, the lines of the others do not wait for its end. */
int64_t partitions_wait_from(int64_t since_ms);

#endif
