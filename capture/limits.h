/* The caller's limits on resources are for the command. What nixfleet-run uses itself must neither
   count against them nor fail because of them. */
#ifndef NIXFLEET_LIMITS_H
#define NIXFLEET_LIMITS_H

/* Raises our own limits on processor time and memory as far as that is allowed (for root without
 * bound, else up to the hard limit) and remembers what they were. */
void limits_raise(void);
/* In a new child, before exec: as they were. Async-signal-safe. */
void limits_restore(void);
/* Calls run(context) and returns what it returns: on a stack of its own where the limit on the
 * stack's size leaves too little. */
int limits_call(int (*run)(void *context), void *context);

#endif
