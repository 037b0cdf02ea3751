/* What a search looks for in a line. Text and regular expressions alike are matched by PCRE2
   (syntax: pcre2pattern(3)), with limits on time and memory, so that no expression can hold the
   server. */
#ifndef NIXFLEET_DASHBOARD_API_MATCH_H
#define NIXFLEET_DASHBOARD_API_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#define MATCH_ERROR_SIZE 256

struct match_question {
    const char *q;    /* what is looked for, UTF-8; NULL: every line matches */
    const char *kind; /* "error" or "warning": lines of that kind only; NULL: all */
    bool regex;       /* q is a regular expression */
    bool exact;       /* upper and lower case differ */
    bool word;        /* whole words only */
};

struct match;

/* NULL with a reason in error: q is no regular expression, or there is no memory. */
struct match *match_open(const struct match_question *question, char error[MATCH_ERROR_SIZE]);
void match_close(struct match *match);
/* Whether the line matches: text without escape sequences, NUL-terminated. A line that takes the
 * expression too long counts as one that does not match. */
bool match_line(struct match *match, const char *text, size_t size);

#endif
