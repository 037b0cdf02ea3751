/* Writing JSON, and other text, into a buffer that grows. */
#ifndef NIXFLEET_COMMON_JSON_WRITE_H
#define NIXFLEET_COMMON_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text being built. Running out of memory sets failed, and drops what comes after: to be looked at
 * once, at the end. */
struct text {
    char *bytes; /* not NUL-terminated */
    size_t size, room;
    bool failed;
};

void text_add(struct text *text, const char *bytes, size_t size);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes memory for a text of size bytes in advance: grown step by step it would be moved each time.
   If there is none, it is asked for again once it is needed. */
void text_reserve(struct text *text, size_t size);
void text_reset(struct text *text); /* empty again; keeps the memory */
void text_free(struct text *text);

/* A part of a JSON string, without quotes: escapes what must be, and replaces each byte that is not
   UTF-8 by U+FFFD, so that the whole is always valid. */
void text_escape(struct text *text, const char *bytes, size_t size);
/* The same, and escapes '<', so that no answer can be read as markup. */
void text_escape_markup(struct text *text, const char *bytes, size_t size);

/* A comma, unless the text ends with the '[' or '{' of a list or object, or is empty: in front of
   each element. */
void text_comma(struct text *text);

#endif
