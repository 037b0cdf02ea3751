/* Work that may wait for a disk or another program, in a process of its own: the caller goes on
   when the time is over, whatever holds it up. */
#ifndef NIXFLEET_ASIDE_H
#define NIXFLEET_ASIDE_H

#define ASIDE_TEXT_MAX 65536

/* Runs job(context, out) in a child; what it writes to the descriptor `out` is the result, at most
   ASIDE_TEXT_MAX - 1 bytes. Waits for its end for limit_ms at most and kills it then. The caller
   frees the result; NULL: it took too long, or there are no means. */
char *run_aside(void (*job)(void *context, int out), void *context, int limit_ms);

#endif
