/* The resource limits of the caller are for the command. nixfleet-run's own use must neither count
 * against these limits nor fail because of them. */
#ifndef NIXFLEET_LIMITS_H
#define NIXFLEET_LIMITS_H

/* Raises our limits on processor time and memory as far as allowed (root: unlimited, others: up to
 * the hard limit), and remembers the old values. A failure leaves a limit as it is. */
void limits_raise(void);
/* In a new child, before exec: restores the old values. Async-signal-safe. */
void limits_restore(void);
/* Calls run(context) and returns its result. If the limit on the stack's size is too small, run
 * gets a new stack. */
int limits_call(int (*run)(void *context), void *context);

#endif
