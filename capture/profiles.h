/* Which nix profiles a run changed: the system's (NixOS and nix-darwin) and home-manager's. They
   are looked at before and after the command; what became of them is written to ID.profiles in the
   state directory, one line for each that changed:

     NAME <TAB> old store path <TAB> new store path <TAB> old generation <TAB> new generation

   A generation is a number, or empty where none is known. */
#ifndef NIXFLEET_PROFILES_H
#define NIXFLEET_PROFILES_H

#include <stdbool.h>

enum { PROFILE_SYSTEM, PROFILE_HOME, PROFILE_COUNT };

struct profile {
    char *path;       /* what it leads to, in the store; NULL: there is none */
    char *generation; /* a number; NULL: not known */
};

struct profiles {
    bool home; /* home-manager's is looked at */
    struct profile one[PROFILE_COUNT];
};

/* The profiles as they are before the command starts: a few readlink(2), and no process. Any
   command may change the system's. home-manager's, for which the home directory is read, is looked
   at where the words of the command are about nix (nixcommand.h). */
void profiles_look(struct profiles *profiles, char *const command[]);
/* After the command's end: writes the file if one of them has changed since `before`. Takes
   PROFILES_MS at most, and makes no process where nothing can have changed. A failure costs the
   record of it, and no more. dir may be NULL: there is no state directory. */
#define PROFILES_MS 1000
void profiles_compare(const struct profiles *before, const char *dir, const char *id);
void profiles_free(struct profiles *profiles);

#endif
