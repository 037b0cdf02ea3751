/* nix's internal log: from version 2.30 on, nix appends what it does to the file in its setting
   json-log-path, besides its normal output. The command gets such a file by its environment
   (NIX_CONFIG). The file is in memory (nixmemory.h), and on its way to the disk, ID.nix in the
   state directory, it passes the log writer (nixspool.h): nix never waits for a disk or a reader,
   and continues if it cannot write. */
#ifndef NIXFLEET_NIXRECORD_H
#define NIXFLEET_NIXRECORD_H

#include <stdbool.h>

#include "nixmemory.h"

struct nix_record {
    char path[NIX_MEMORY_PATH_SIZE]; /* of the file in memory; "": there is none */
    bool ask;    /* it is not known whether this nix has the setting: nix_version_learn */
    int problem; /* errno if there should be a file, but cannot be */
};

/* Makes the file and the entry "NIX_CONFIG=…" for the command's environment: the value of the
   variable, and the file. The caller frees the entry. NULL if the command should not get it: there
   is no nix on PATH, nix is too old or not known to have the setting, or the user has set it.
   Starts no process, and does not touch the state directory, because the command waits for this
   call. */
char *nix_record_entry(const char *id, struct nix_record *record);

#endif
