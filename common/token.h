/* What a token file holds. */
#ifndef NIXFLEET_TOKEN_TEXT_H
#define NIXFLEET_TOKEN_TEXT_H

#include <stddef.h>

#define TOKEN_MAX 4096      /* bytes; a longer one is no token */
#define TOKEN_FILE_MAX 8192 /* bytes; a larger file is no token file */

/* The token in a text: alone on its line, or in a line NIXFLEET_TOKEN=TOKEN among other settings
   (in the form of a systemd EnvironmentFile, `export` may stand in front). Blank lines and those
   that begin with '#' are passed over. Caller frees. NULL with a reason in *why (static): the text
   is something else, of which nothing may be sent. */
char *token_of_text(const char *text, size_t size, const char **why);

/* The same of an open regular file, from its offset on. *why may also be strerror(3)'s. */
char *token_read(int fd, const char **why);

#endif
