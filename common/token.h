/* Reading a token file. */
#ifndef NIXFLEET_TOKEN_TEXT_H
#define NIXFLEET_TOKEN_TEXT_H

#include <stddef.h>

#define TOKEN_MAX 4096      /* bytes; a longer text is not a token */
#define TOKEN_FILE_MAX 8192 /* bytes; a larger file is not a token file */

/* The token in the variable NIXFLEET_TOKEN. The caller frees the result. NULL, with a reason in
 * *why (static text): it is no token. */
char *token_of_variable(const char *text, const char **why);

/* The token in a text: alone on its line (then without the signs of other services' secrets, as in
   USER:PASSWORD or a URL), or in a line NIXFLEET_TOKEN=TOKEN among other settings
   (in the form of a systemd EnvironmentFile; `export` may precede it). Blank lines and lines that
   begin with '#' are skipped. The caller frees the result. NULL, with a reason in *why (static
   text), if the text is anything else; nothing of it may be sent then. */
char *token_of_text(const char *text, size_t size, const char **why);

/* Does the same with an open regular file, from its offset on. *why may also be a text of
 * strerror(3). */
char *token_read(int fd, const char **why);

#endif
