/* Which nix has the setting json-log-path (nix 2.30 and later). */
#ifndef NIXFLEET_NIXVERSION_H
#define NIXFLEET_NIXVERSION_H

/* Whether the nix that the command would find on PATH has the setting: 1 yes, 0 no (or there is no
   nix), -1 not known. A path in the nix store names the version; for other programs the file
   nix-versions (nixmemory.h) says it, by path, size and time of the program. Starts no process and
   reads no disk but that of the program. */
int nix_has_setting(void);
/* The same for the resolved path of a nix; -1: the path does not name a version. */
int nix_version_of_path(const char *program);
/* Runs `nix --version`, for at most ten seconds, and stores its answer in nix-versions. Waits. */
void nix_version_learn(void);

#endif
