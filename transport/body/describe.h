/* The description of a run in its request bodies (docs/protocol.md). */
#ifndef NIXFLEET_DESCRIBE_H
#define NIXFLEET_DESCRIBE_H

#include "../../capture/runlog.h"
#include "json_out.h"
#include "redact.h"

/* A command may have 2 MB, but a body may not, and people read only the start of a command. */
#define DESCRIBE_COMMAND_MAX ((size_t)64 << 10) /* bytes */

/* Writes `command`, `name` and `started`. redactor may be NULL. A longer command is cut and ends in
 * "…". */
void describe_run(struct text *body, const struct run_info *info, struct redactor *redactor);
/* Writes the same, and the other facts that never change: `argv` (unless the command was cut),
 * `user`, `cols`, `rows`. */
void describe_whole(struct text *body, const struct run_info *info, struct redactor *redactor);

#endif
