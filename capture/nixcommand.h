/* Which commands have to do with nix. Asked before each command's start: it looks at the words
   alone and waits for nothing. */
#ifndef NIXFLEET_NIXCOMMAND_H
#define NIXFLEET_NIXCOMMAND_H

#include <stdbool.h>

/* Whether a command may start nix or change one of its profiles: nix and its programs,
   nixos-rebuild, home-manager, darwin-rebuild, nh, colmena and their like, also behind sudo, inside
   `sh -c`, and in the name of a script (./switch.sh, make deploy). True too often rather than too
   seldom. */
bool nix_command(char *const command[]);

#endif
