/* Hyperlinks in log lines: the sequence OSC 8 of terminals, in the one form that leaves a host:
   "ESC ] 8 ; ; TARGET ESC \" in front of a text, "ESC ] 8 ; ; ESC \" behind it. */
#ifndef NIXFLEET_HYPERLINK_H
#define NIXFLEET_HYPERLINK_H

#include <stdbool.h>
#include <stddef.h>

#define HYPERLINK_START "\033]8;;"
#define HYPERLINK_END "\033\\"
#define HYPERLINK_TARGET_MAX 2048 /* bytes */

/* Whether a link may lead there: http:// or https:// and more, printable ASCII without blanks, at
   most HYPERLINK_TARGET_MAX bytes. */
bool hyperlink_may_lead_to(const char *target, size_t size);
/* The length of the sequence at text, of which size bytes are there, if it begins a link with such
   a target, or ends one; else 0. */
size_t hyperlink_length(const char *text, size_t size);
/* Copies text without these sequences to out, which may be text itself, or has space for size
   bytes. Returns how many bytes that are. */
size_t hyperlinks_leave_out(char *out, const char *text, size_t size);

#endif
