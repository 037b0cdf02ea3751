/* Takes secret values out of what leaves the machine. They are known by their fingerprints
   (common/secrets.h) and found in the text as a person sees it: colours inside a value do not hide
   it. The same lines and secrets always give the same text.

   A line that was split because it was too long can have a value across the cut. So a line of
   REDACT_LONG bytes or more is only finished once the next one is known: its head is looked at
   together with it. */
#ifndef NIXFLEET_REDACT_H
#define NIXFLEET_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "../../common/secrets.h"
#include "../../parse/transcript.h"

#define REDACT_LONG (TRANSCRIPT_LINE_MAX / 2)
#define REDACT_MARK "[redacted]"

struct redactor;

/* secrets: run_info.secrets. environment, argv and patterns: where values may stand in the clear
   (as in secret_values), to know the beginning of one that is being written; may be NULL. NULL with
   errno ENOMEM, or EINVAL or EBADMSG when the fingerprints cannot be read: without them nothing may
   leave the machine. */
struct redactor *redactor_new(const char *secrets, char *const environment[], char *const argv[],
                              char *const patterns[]);
void redactor_free(struct redactor *redactor);
/* Another value to be replaced (a token); NULL is passed over. */
void redactor_add(struct redactor *redactor, const char *value);

/* One line. covered: how many of its first visible bytes belong to a value that began in the line
   before (0 as a rule); next: the line after it if text is long, else NULL; *covers_next then is
   the `covered` of that one. Returns the text and its length, valid until the next call; the text
   itself when nothing is in it. */
const char *redact_line(struct redactor *redactor, const char *text, size_t length, size_t covered,
                        const char *next, size_t next_length, size_t *covers_next,
                        size_t *out_length);
/* True if several lines without colours, each shorter than REDACT_LONG, with an LF between each
   two, have nothing in them. Else redact_line must look at each. */
bool redact_needless(const struct redactor *redactor, const char *lines, size_t length);
/* redact_line for a short line or any text by itself. */
const char *redact_text(struct redactor *redactor, const char *text, size_t length,
                        size_t *out_length);
/* The same for a text that may have been cut to room - 1 bytes, of which at most `shown` are
   returned. The text in the room behind these is there to know a value whose end is cut away;
   REDACT_AHEAD bytes are enough. */
#define REDACT_AHEAD SECRET_FORM_MAX
const char *redact_cut_text(struct redactor *redactor, const char *text, size_t room, size_t shown,
                            size_t *out_length);
/* For a line that is still being written: how many of its bytes can be shown, because what follows
   can be the beginning of a value whose rest is yet to come. */
size_t redact_safe_length(struct redactor *redactor, const char *text, size_t length);

#endif
