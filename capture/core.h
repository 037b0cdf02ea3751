/* The core-dump bit of a wait status ("Segmentation fault (core dumped)"). Only a process that
   dumps a core itself can end with this bit. */
#ifndef NIXFLEET_CORE_H
#define NIXFLEET_CORE_H

#include <stdbool.h>

/* To be called before this process kills itself by the command's signal. dumped: the command has
   dumped a core. Then this process dumps a core, too: a few pages in a directory that another
   process removes after our end, or for the program to which the kernel gives cores. If the command
   has not dumped one, or cores go to a fixed place, this process dumps none. A failure only costs
   the bit. */
void core_prepare(bool dumped);

#endif
