/* The body of a heartbeat (docs/protocol.md). */
#ifndef NIXFLEET_HEARTBEAT_BODY_H
#define NIXFLEET_HEARTBEAT_BODY_H

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "json_out.h"
#include "redact.h"

enum heartbeat_kind { HEARTBEAT_RUNNING, HEARTBEAT_FINISHED, HEARTBEAT_LOST };

/* page may be NULL (a run that is over). redactor may be NULL. end is needed for HEARTBEAT_FINISHED
 * only. interval_s: between heartbeats, 0 where no more follow. False when out of memory. */
bool heartbeat_write(struct text *body, enum heartbeat_kind kind, const struct run_info *info,
                     struct status_page *page, const struct run_end *end, struct redactor *redactor,
                     int64_t seq, int interval_s);

#endif
