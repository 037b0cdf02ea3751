/* A terminal that other programs may read, too: programs of a pipeline (`nixfleet-run list | less`,
   `… | sudo tee file`, `sudo cat file | nixfleet-run …`), and programs that have it as stdin while
   the command has not (a script's background job). The command should get keys only if it reads
   them, but no system call tells whether it does. So the terminal is left unchanged for the other
   programs, with two exceptions:
     - while the command has changed the modes of its own terminal (a password, a full screen), keys
       are forwarded as usual;
     - lines that no program has read for a moment are forwarded one by one. */
#ifndef NIXFLEET_SHARED_H
#define NIXFLEET_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "child.h"
#include "terminal.h"

#define SHARED_UNCLAIMED_MS 100 /* the time after which an unread line goes to the command */
/* The same time for a key, on a terminal that had such modes before we came. The key may be for a
   pager that started before us and has to wait for a processor. */
#define SHARED_UNCLAIMED_KEY_MS 1000

/* True while the modes of the command's terminal differ from those at its start. */
bool shared_asked_for(const struct child *child);
/* Reads an unread line from a terminal that has these modes; we must be in its foreground. A typed
 * end of file is returned as its control character. Does not wait. Returns the number of bytes; 0
 * if another program has read the line. size must be at least 2. */
size_t shared_take_line(const struct terminal *terminal, const struct termios *mode,
                        unsigned char *bytes, size_t size);
/* Writes a line to the command's terminal that was already echoed where it was typed. Returns as
   write(2). Echo is off while the line is incomplete, and on again for its end: from then on the
   command may turn echo off, and must find its own modes. *echoes_end: the next LF that comes from
   the command's terminal is this echo. */
ssize_t shared_give_line(const struct child *child, const unsigned char *bytes, size_t size,
                         bool *echoes_end);

#endif
