/* Which nix profiles a run changed: the system's (NixOS and nix-darwin) and home-manager's. They
   are read before and after the command. Each change becomes one line in ID.profiles in the state
   directory:

     NAME <TAB> old store path <TAB> new store path <TAB> old generation <TAB> new generation

   A generation is a number, or empty if it is not known. */
#ifndef NIXFLEET_PROFILES_H
#define NIXFLEET_PROFILES_H

#include <stdbool.h>

enum { PROFILE_SYSTEM, PROFILE_HOME, PROFILE_COUNT };

struct profile {
    char *path;       /* the path in the store; NULL: there is no such profile */
    char *generation; /* a number as text; NULL: not known */
};

struct profiles {
    bool home; /* home-manager's profile is read, too */
    struct profile one[PROFILE_COUNT];
};

/* Reads the profiles before the command starts: a few calls of readlink(2), no process. Any command
   may change the system's profile. home-manager's, for which the home directory is read, counts
   only if the words of the command are about nix (nixcommand.h). */
void profiles_look(struct profiles *profiles, char *const command[]);
/* After the end of the command: writes the file if a profile has changed since `before`. Takes at
   most PROFILES_MS, and makes no process if nothing can have changed. If it fails, there is no
   file. dir may be NULL: no state directory. */
#define PROFILES_MS 1000
void profiles_compare(const struct profiles *before, const char *dir, const char *id);
void profiles_free(struct profiles *profiles);

#endif
