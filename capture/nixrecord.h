/* nix's own record of what it does: from version 2.30 on nix appends it to the file that its
   setting json-log-path names, beside its normal output. The command is given such a file in its
   environment (NIX_CONFIG), ID.nix in the state directory. nix never waits for a reader of a file,
   and goes on when it cannot write it. */
#ifndef NIXFLEET_NIXRECORD_H
#define NIXFLEET_NIXRECORD_H

#include <stdbool.h>

/* The entry "NIX_CONFIG=…" for the command: what the variable has now, and the file, in the state
   directory. The caller frees it. NULL: the command is better off without: there is no nix on PATH,
   it is too old or not known to have the setting, the user has set it, or dir is not to be written
   to. Starts no process and makes no file: the command waits for this call.

   Which nix has the setting is remembered in the file nix-versions of the directory, by path, size
   and time of the program. *ask: this one is not known there yet; nix_version_learn finds out, for
   the next run. */
char *nix_record_entry(const char *dir, const char *id, bool *ask);

/* All that follows is the log writer's, beside the command, and may wait. */

/* Runs `nix --version`, for ten seconds at most, and remembers its answer. */
void nix_version_learn(const char *dir);
/* Makes the record, for the user alone (0600), if nix has not made it yet. */
void nix_record_make(const char *dir, const char *id);
/* Removes the record if nix has written nothing. */
void nix_record_close(const char *dir, const char *id);

#endif
