/* A terminal that other programs may read, too: those of a pipeline (`nixfleet-run list | less`,
   `… | sudo tee file`, `sudo cat file | nixfleet-run …`), and those that have it as their stdin
   where the command has not (a script's background). Keys are the command's only if it reads them,
   and no system call tells whether it does. So the terminal is left unchanged for the other
   programs, except
     - while the command has changed the modes of its own terminal (a password, a full screen): keys
   are then forwarded as usual;
     - for lines that no program has read for a moment: they are forwarded one by one. */
#ifndef NIXFLEET_SHARED_H
#define NIXFLEET_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "child.h"
#include "terminal.h"

#define SHARED_UNCLAIMED_MS 100 /* after which an unread line is the command's */
/* The same of a key on a terminal that was in such a mode before we came: it may be that of a
   pager that was quicker than we, and that has no processor now. */
#define SHARED_UNCLAIMED_KEY_MS 1000

/* True while the command has other modes on its terminal than it was given. */
bool shared_asked_for(const struct child *child);
/* Reads an unclaimed line from a terminal in whose foreground we are and which has these modes; a
 * typed end of file is returned as its control character. Does not wait. Returns the number of
 * bytes, 0 if another program has read the line. size must be at least 2. */
size_t shared_take_line(const struct terminal *terminal, const struct termios *mode,
                        unsigned char *bytes, size_t size);
/* Writes to the command's terminal a line that has been echoed already, where it was typed. As
   write(2). Echo is off while the line is not whole, and on again for its end: from then on the
   command may turn it off itself, and must find it as it left it. Sets echoes_end if the first LF
   that now comes from there is that echo. */
ssize_t shared_give_line(const struct child *child, const unsigned char *bytes, size_t size,
                         bool *echoes_end);

#endif
