/* Log lines of a service, on standard error. Under systemd each line begins with its priority in
   the form of sd-daemon(3), "<4>", and systemd adds the program's name. Elsewhere the line begins
   with the program's name. */
#ifndef NIXFLEET_LOG_H
#define NIXFLEET_LOG_H

#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO */

/* Writes one line (at most 1 KiB; control characters become '?') in a single write. Any thread may
   call. A line that cannot be written is dropped. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
