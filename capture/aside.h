/* Runs work that may wait for a disk or another program in a separate process: the caller continues
 * after a time limit. */
#ifndef NIXFLEET_ASIDE_H
#define NIXFLEET_ASIDE_H

#define ASIDE_TEXT_MAX 65536

/* Runs job(context, out) in a child; the text that job writes to the descriptor `out` is the
   result, at most ASIDE_TEXT_MAX - 1 bytes. Waits limit_ms at most for the child and then kills it.
   The caller frees the result; NULL: the job took too long, or no child could be made. */
char *run_aside(void (*job)(void *context, int out), void *context, int limit_ms);

#endif
