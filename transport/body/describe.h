/* What a run is, in the words of its bodies (docs/protocol.md). */
#ifndef NIXFLEET_DESCRIBE_H
#define NIXFLEET_DESCRIBE_H

#include "../../capture/runlog.h"
#include "json_out.h"
#include "redact.h"

/* A command may be as long as the kernel allows, 2 MB; a body may not, and people read the start of
 * it only. */
#define DESCRIBE_COMMAND_MAX ((size_t)64 << 10) /* bytes */

/* `command`, `name` and `started`. redactor may be NULL. A longer command ends in "…". */
void describe_run(struct text *body, const struct run_info *info, struct redactor *redactor);
/* That, and what never changes besides: `argv` (not of a longer command), `user`, `cols`, `rows`.
 */
void describe_whole(struct text *body, const struct run_info *info, struct redactor *redactor);

#endif
