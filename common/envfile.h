/* Files of NAME=value lines in the form of a systemd EnvironmentFile (systemd.exec(5)), so that a
   service, a shell and our programs can share one file. */
#ifndef NIXFLEET_ENVFILE_H
#define NIXFLEET_ENVFILE_H

#include <stddef.h>

#define ENVFILE_LIMIT ((size_t)64 * 1024) /* bytes in a file; programs refuse a larger one */

/* Called with each variable, in the order of the file. name and value are valid until it returns. A
 * result that is not 0 ends the parse. */
typedef int envfile_set(void *context, const char *name, const char *value);

/* Parses size bytes. The text has comments (# or ;), blank lines, and lines NAME=value with
   optional '…' or "…"; backslash escapes work inside double quotes and outside quotes; a backslash
   at the end of a line continues the line; CR before LF is dropped. Any other line is skipped, as
   systemd does; *wrong_line is the number of the first such line, or 0. Returns 0, the result of
   set that ended the parse, or -1 with errno ENOMEM. */
int envfile_parse(const char *text, size_t size, envfile_set *set, void *context,
                  size_t *wrong_line);

#endif
