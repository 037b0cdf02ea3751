/* Writing JSON, and other text, into a buffer that grows. */
#ifndef NIXFLEET_COMMON_JSON_WRITE_H
#define NIXFLEET_COMMON_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that is being built. If memory runs out, failed is set and later additions are dropped;
 * the caller checks failed once, at the end. Whoever cannot read what is to be added sets failed,
 * too. */
struct text {
    char *bytes; /* not NUL-terminated */
    size_t size, capacity;
    bool failed;
    bool no_nulls; /* members of objects whose value is null are left out (common/json.h) */
};

/* Append bytes, a string, and a text formatted as by printf(3). */
void text_add(struct text *text, const char *bytes, size_t size);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Allocates memory for a text of size bytes in advance, so that the text is not moved each time it
   grows. Failure has no effect: memory is asked for again when it is needed. */
void text_reserve(struct text *text, size_t size);
void text_reset(struct text *text); /* makes it empty; keeps the memory */
void text_free(struct text *text);

/* Appends a part of a JSON string, without quotes: escapes what JSON requires, and replaces each
   byte that is not UTF-8 by U+FFFD, so that the text is always valid. */
void text_escape(struct text *text, const char *bytes, size_t size);
/* Does the same, and also escapes '<', so that no browser reads the answer as markup. */
void text_escape_markup(struct text *text, const char *bytes, size_t size);

/* Appends a comma in front of an element: not if the text is empty, or ends with the '[' or '{' of
   a list or object. */
void text_comma(struct text *text);

#endif
