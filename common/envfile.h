/* Files of NAME=value lines in the form of a systemd EnvironmentFile (systemd.exec(5)), so that a
   service, a shell and our programs can share one file. */
#ifndef NIXFLEET_ENVFILE_H
#define NIXFLEET_ENVFILE_H

#include <stddef.h>

#define ENVFILE_LIMIT ((size_t)64 * 1024) /* bytes in a file */

/* Is given each variable in the order of the file; name and value live until it returns. Non-zero
 * ends the parse. */
typedef int envfile_set(void *context, const char *name, const char *value);

/* Parses size bytes: comments (# or ;), blank lines, NAME=value with optional '…' or "…" (backslash
   escapes inside double quotes and outside quotes), a backslash at the end of a line continues it,
   CR before LF is dropped. A line that is none of these is passed over, as systemd does. Returns 0,
   set's non-zero value, or -1 with errno ENOMEM. */
int envfile_parse(const char *text, size_t size, envfile_set *set, void *context);

#endif
