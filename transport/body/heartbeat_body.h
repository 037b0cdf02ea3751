/* The body of a heartbeat (docs/protocol.md). */
#ifndef NIXFLEET_HEARTBEAT_BODY_H
#define NIXFLEET_HEARTBEAT_BODY_H

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "json_out.h"
#include "redact.h"

enum heartbeat_kind { HEARTBEAT_RUNNING, HEARTBEAT_FINISHED, HEARTBEAT_LOST };

/* Writes the body. page may be NULL (a run that is over), redactor too. end is only used for
 * HEARTBEAT_FINISHED. interval_s: the seconds until the next heartbeat; 0: none follows. False when
 * out of memory. */
bool heartbeat_write(struct text *body, enum heartbeat_kind kind, const struct run_info *info,
                     struct status_page *page, const struct run_end *end, struct redactor *redactor,
                     int64_t seq, int interval_s);

#endif
