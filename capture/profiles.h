/* Which nix profiles a run changed: the system's (NixOS and nix-darwin) and home-manager's. They
   are looked at before and after the command; what became of them is written to ID.profiles in the
   state directory, one line for each that changed:

     NAME <TAB> old store path <TAB> new store path <TAB> old generation <TAB> new generation

   A generation is a number, or empty where none is known. */
#ifndef NIXFLEET_PROFILES_H
#define NIXFLEET_PROFILES_H

/* The profiles as they are now, as a text for profiles_compare; the caller frees it. NULL: they
   cannot be looked at in time. Takes PROFILES_MS at most, wherever they lie. */
#define PROFILES_MS 1000
char *profiles_look(void);
/* Writes the file if one of them has changed since `before` (NULL: nothing is known). Takes
   PROFILES_MS at most. A failure costs the record of it, and no more. */
void profiles_compare(const char *before, const char *dir, const char *id);

#endif
