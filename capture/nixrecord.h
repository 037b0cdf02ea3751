/* nix's internal log: from version 2.30 on, nix appends what it does to the file in its setting
   json-log-path, besides its normal output. The command gets such a file by its environment
   (NIX_CONFIG): ID.nix in the state directory. nix never waits for a reader of a file, and
   continues if it cannot write it. */
#ifndef NIXFLEET_NIXRECORD_H
#define NIXFLEET_NIXRECORD_H

#include <stdbool.h>

/* The entry "NIX_CONFIG=…" for the command's environment: the value of the variable, and the file
   in the state directory. The caller frees the entry. NULL if the command should not get it: there
   is no nix on PATH, nix is too old or not known to have the setting, the user has set it, or dir
   cannot be used. Starts no process and creates no file, because the command waits for this call.

   The file nix-versions in the directory says which nix has the setting, by path, size and time of
   the program. *ask: this nix is not in the file yet; nix_version_learn finds out, for the next
   run. */
char *nix_record_entry(const char *dir, const char *id, bool *ask);

/* Only the log writer calls the following functions, while the command runs. They may wait. */

/* Runs `nix --version`, for at most ten seconds, and stores its answer in the file nix-versions. */
void nix_version_learn(const char *dir);
/* Creates the file, readable by the user only (0600), unless nix has created it already. */
void nix_record_make(const char *dir, const char *id);
/* Removes the file if nix has written nothing. */
void nix_record_close(const char *dir, const char *id);

#endif
