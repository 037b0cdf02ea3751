/* The texts by which a secret value is known in output. A program prints a value as it is, or in
   JSON, in a URL, in base64 (alone, or within "user:password"), or quoted for a shell; of a value
   of several lines it prints the lines. And a terminal shows some bytes in another form: a tab as
   blanks, what is no UTF-8 as U+FFFD. */
#ifndef NIXFLEET_SECRET_FORMS_H
#define NIXFLEET_SECRET_FORMS_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_FORM_MIN 6    /* bytes; a shorter text ("yes", "1234") would blank half the log */
#define SECRET_FORM_MAX 1024 /* bytes; a longer text is given in pieces of so many */

/* text: UTF-8 without control characters, SECRET_FORM_MIN to _MAX bytes, valid until the return.
 * blanks: in output, each blank in it may be several. */
typedef void secret_form_sink(void *context, const char *text, size_t length, bool blanks);

/* Tells sink every form of a value (NUL-terminated). False when there is none: the value is too
   short, a short word, a path, or of one or two characters only, so that it could not be told from
   other output; or out of memory. */
bool secret_forms(const char *value, secret_form_sink *sink, void *context);
/* The same for a value that is a secret in any case (a token), if it is long enough. */
bool secret_forms_of_any(const char *value, secret_form_sink *sink, void *context);

#endif
