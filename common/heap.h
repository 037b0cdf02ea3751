/* How malloc gets its memory from the system. */
#ifndef NIXFLEET_HEAP_H
#define NIXFLEET_HEAP_H

#include <stddef.h>

/* For a thread that soon fills and frees megabytes at once: the next `size` bytes that it allocates
   are large pages (at most 24 MiB, rounded up to 2 MiB). The first use of memory then costs one
   page fault for 2 MiB, not one for 4 KiB; in a virtual machine these faults are most of the time
   that a burst takes.

   Freed memory stays with the process. A large page that is not touched uses no memory. Only the
   first call in a thread has an effect. If the system or its C library does not support this, or
   memory is short, the heap works as usual. */
void heap_use_large_pages(size_t size);

#endif
