/* The core-dump bit of a wait status ("Segmentation fault (core dumped)"), which only a process can
   set that dumps a core itself. */
#ifndef NIXFLEET_CORE_H
#define NIXFLEET_CORE_H

#include <stdbool.h>

/* Before this process dies of the command's signal. dumped: the command has left a core. Ours then
   is a few pages in a directory of its own, which a process removes that waits for our end; where
   the kernel gives cores to a program, that one gets it. Otherwise, and where cores go to one
   place by an absolute path, we leave none. */
void core_prepare(bool dumped);

#endif
