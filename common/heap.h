/* How malloc gets its memory from the system. */
#ifndef NIXFLEET_HEAP_H
#define NIXFLEET_HEAP_H

#include <stddef.h>

/* For a thread that soon fills and empties megabytes at once: what it allocates next comes in large
   pages, `size` bytes of them (at most 24 MiB; rounded up to 2 MiB). Using memory for the first
   time then costs a fault for each 2 MiB, not for each 4 KiB; in a virtual machine those faults are
   most of the time that a burst takes. What is freed stays with the process.

   What is not touched is not used; a large page that is, is used whole. The first call in a thread
   counts. Where the system or its C library knows nothing of this, and where memory is short, the
   heap is as it always is. */
void heap_use_large_pages(size_t size);

#endif
