/* Asking a person for a password. */
#ifndef NIXFLEET_DASHBOARD_AUTH_PASSWORD_H
#define NIXFLEET_DASHBOARD_AUTH_PASSWORD_H

#include <stddef.h>

/* Reads a password: at a terminal without echo and twice, until both are the same (three tries);
   otherwise one line of standard input. The caller wipes and frees the result. NULL, with the
   reason in *why (constant text), if there is none. */
char *password_read(const char **why);
/* Reads a line of standard input, for what is not secret, without its LF; shows prompt if it is a
   terminal. The caller frees the line. NULL at the end of the input. */
char *password_read_line(const char *prompt);

#endif
