/* Matches lines against what a search asks for. PCRE2 matches both text and regular expressions
   (syntax: pcre2pattern(3)), with limits on time and memory, so that no expression can stop the
   server. */
#ifndef NIXFLEET_DASHBOARD_API_MATCH_H
#define NIXFLEET_DASHBOARD_API_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#define MATCH_ERROR_SIZE 256

struct match_question {
    const char *q;    /* the text to find, UTF-8; NULL: every line matches */
    const char *kind; /* "error" or "warning": only lines of this kind; NULL: all */
    bool regex;       /* q is a regular expression */
    bool exact;       /* case matters */
    bool word;        /* whole words only */
};

struct match;

/* NULL with a sentence in error: q is not a valid regular expression; "": out of memory. The caller
 * frees it with match_close. */
struct match *match_open(const struct match_question *question, char error[MATCH_ERROR_SIZE]);
void match_close(struct match *match);
/* Whether the line matches. text: without escape sequences, NUL-terminated. A line for which the
 * expression takes too long does not match. */
bool match_line(struct match *match, const char *text, size_t size);
/* Whether memory was short at a line; this line then counts as one that does not match. */
bool match_failed(const struct match *match);

#endif
