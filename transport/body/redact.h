/* Removes secret values from everything that leaves the machine. The values are recognized by their
   fingerprints (common/secrets.h) in the text as a person sees it, so colours inside a value do not
   hide it. A hyperlink whose target contains a value is left out. The same lines and secrets always
   give the same text.

   A line that was split because it was too long may have a value across the cut. So a line of
   REDACT_LONG bytes or more can only be finished together with the beginning of the next line. */
#ifndef NIXFLEET_REDACT_H
#define NIXFLEET_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "../../common/secrets.h"
#include "../../parse/transcript.h"

#define REDACT_LONG (TRANSCRIPT_LINE_MAX / 2)
#define REDACT_MARK "[redacted]"

struct redactor;

/* secrets: run_info.secrets. environment, argv and patterns: as in secret_values; they may have
   values as plain text, by which the beginning of a value that is still being written is
   recognized. They may be NULL. NULL with errno ENOMEM, or EINVAL or EBADMSG if the fingerprints
   cannot be read: then nothing may leave the machine. */
struct redactor *redactor_new(const char *secrets, char *const environment[], char *const argv[],
                              char *const patterns[]);
void redactor_free(struct redactor *redactor);
/* Adds a value to be removed (a token). NULL is ignored. */
void redactor_add(struct redactor *redactor, const char *value);

/* Redacts one line. covered: how many of its first visible bytes belong to a value that began in
   the line before (usually 0). next: if text is long, the line after it, else NULL; then
   *covers_next is the `covered` of that line. Returns the text and its length, valid until the next
   call; the same pointer if nothing was removed. */
const char *redact_line(struct redactor *redactor, const char *text, size_t length, size_t covered,
                        const char *next, size_t next_length, size_t *covers_next,
                        size_t *out_length);
/* True if several lines have no values. The lines must be without colours, each shorter than
   REDACT_LONG, with an LF between them. If false, redact_line must be called for each. */
bool redact_needless(const struct redactor *redactor, const char *lines, size_t length);
/* Redacts a short line, or any other text. As redact_line. */
const char *redact_text(struct redactor *redactor, const char *text, size_t length,
                        size_t *out_length);
/* Does the same for a text that may have been cut to capacity - 1 bytes. Returns at most `shown`
   bytes of it. The text behind these is needed to recognize a value whose end was cut; REDACT_AHEAD
   bytes are enough. */
#define REDACT_AHEAD SECRET_FORM_MAX
const char *redact_cut_text(struct redactor *redactor, const char *text, size_t capacity,
                            size_t shown, size_t *out_length);
/* For a line that is still being written: how many of its bytes can be shown. The bytes behind may
   be the beginning of a value whose rest is still to come. */
size_t redact_safe_length(struct redactor *redactor, const char *text, size_t length);

#endif
