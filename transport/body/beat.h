/* The body of a heartbeat (docs/protocol.md). */
#ifndef NIXFLEET_BEAT_H
#define NIXFLEET_BEAT_H

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "json_out.h"
#include "redact.h"

enum beat_kind { BEAT_RUNNING, BEAT_FINISHED, BEAT_LOST };

/* page may be NULL (a run that is over). redactor may be NULL. end is needed for BEAT_FINISHED
 * only. interval_s: between heartbeats, 0 where no more follow. False when out of memory. */
bool beat_write(struct text *body, enum beat_kind kind, const struct run_info *info,
                struct status_page *page, const struct run_end *end, struct redactor *redactor,
                int64_t seq, int interval_s);

#endif
