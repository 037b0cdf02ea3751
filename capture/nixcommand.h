/* Which commands have to do with nix. The answer is needed before each command starts, so it
   depends only on the words of the command and waits for nothing. */
#ifndef NIXFLEET_NIXCOMMAND_H
#define NIXFLEET_NIXCOMMAND_H

#include <stdbool.h>

/* Whether a command may start nix or change one of its profiles: nix and its programs,
   nixos-rebuild, home-manager, darwin-rebuild, nh, colmena and similar, also behind sudo, inside
   `sh -c`, and in the name of a script (./switch.sh, make deploy). In doubt the answer is true. */
bool nix_command(char *const command[]);

#endif
