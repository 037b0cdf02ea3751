/* Asking a person for a password. */
#ifndef NIXFLEET_DASHBOARD_AUTH_PASSWORD_H
#define NIXFLEET_DASHBOARD_AUTH_PASSWORD_H

#include <stddef.h>

/* Reads a password: at a terminal without echo and twice, until both are the same (three tries);
   otherwise one line of standard input. Returns memory that the caller wipes and frees; NULL when
   there is none, with a reason in *why (constant text). */
char *password_read(const char **why);
/* A line of standard input, without its end, for what is not secret; at a terminal with a prompt.
   The caller frees. NULL at the end of the input. */
char *password_read_line(const char *prompt);

#endif
