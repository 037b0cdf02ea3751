/* nix's own record of what it does: from version 2.30 on nix appends it to the file that its
   setting json-log-path names, beside its normal output. The command is given such a file in its
   environment (NIX_CONFIG), ID.nix in the state directory. nix never waits for a reader of a file,
   and goes on when it cannot write it. */
#ifndef NIXFLEET_NIXRECORD_H
#define NIXFLEET_NIXRECORD_H

/* The entry "NIX_CONFIG=…" for the command: what the variable has now, and the file, which is made
   here (0600; the directory 0700 if there is none). The caller frees it. NULL: the command is
   better off without: there is no nix on PATH, it is too old or not known to have the setting, the
   user has set it, or the file cannot be made.

   The version of each nix program is asked for once, by `nix --version` within two seconds, and
   remembered in the file nix-versions of the directory. */
char *nix_record_entry(const char *dir, const char *id);
/* Removes the record if nix has written nothing. */
void nix_record_close(const char *dir, const char *id);

#endif
