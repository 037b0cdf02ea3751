/* Files in memory for nix's internal log. nix appends to such a file itself, so the file is on no
   disk: then nix never waits for a disk. The log writer copies the file to the state directory
   (nixspool.h).

   The files are in /dev/shm/nixfleet-UID, a directory of the user, which others can pass but not
   read. A file gets the name of the run, and everybody who knows the name can append to it, because
   the command may run nix as another user. Systems without /dev/shm have no memory for files; there
   the directory is in TMPDIR, else in /tmp. */
#ifndef NIXFLEET_NIXMEMORY_H
#define NIXFLEET_NIXMEMORY_H

#include <stddef.h>

#define NIX_MEMORY_PATH_SIZE 256

/* Opens the directory, and makes it if it is missing. Returns a descriptor (close-on-exec), or -1
 * with errno: ENODEV if /dev/shm is not in memory, EPERM if the directory is another user's. */
int nix_memory_open(void);
/* Creates the file of a run, and writes its path to `path`. Returns 0, or -1 with errno; path is
 * then "". */
int nix_memory_create(const char *id, char path[NIX_MEMORY_PATH_SIZE]);
/* Removes the file of a command that was not started. path "": does nothing. Keeps errno. */
void nix_memory_remove(const char *path);
/* After the run: puts a link to /dev/null in the place of the file, because a process that the
 * command has left behind may still start nix, which would print that it cannot open its log. */
void nix_memory_end(const char *path);
/* Removes what runs left there that were killed, and links that are a day old. */
void nix_memory_prune(void);

#endif
