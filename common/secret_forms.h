/* The texts that stand for a secret value in output. A program may print a value as it is, in JSON,
   in a URL, in base64 (alone, or within "user:password"), or quoted for a shell; a value of several
   lines may be printed line by line. A terminal shows some bytes in another form: a tab as blanks,
   bytes that are not UTF-8 as U+FFFD. */
#ifndef NIXFLEET_SECRET_FORMS_H
#define NIXFLEET_SECRET_FORMS_H

#include <stdbool.h>
#include <stddef.h>

/* bytes; redacting a shorter text ("yes", "1234") would blank much of a log */
#define SECRET_FORM_MIN 6
#define SECRET_FORM_MAX 1024 /* bytes; a longer text is passed on in pieces of this size */

/* Called with each form. text: UTF-8 without control characters, SECRET_FORM_MIN to _MAX bytes,
 * valid until the return. blanks: in output, each blank of the text may be several blanks. */
typedef void secret_form_sink(void *context, const char *text, size_t length, bool blanks);

/* Passes every form of a value (NUL-terminated) to sink. Returns false if there is none: the value
   is too short, a short word or a path, has only one or two different characters (it could not be
   told from other output), or memory ran out. */
bool secret_forms(const char *value, secret_form_sink *sink, void *context);
/* Does the same for a value that is certainly a secret (a token); only its length matters. */
bool secret_forms_of_any(const char *value, secret_form_sink *sink, void *context);

#endif
