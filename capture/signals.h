/* Signals as bytes in a pipe, so that one poll loop sees them in order with everything else. */
#ifndef NIXFLEET_SIGNALS_H
#define NIXFLEET_SIGNALS_H

/* Starts to catch the signals that concern a run (CHLD WINCH TERM INT HUP QUIT TSTP CONT USR1
   USR2), to ignore PIPE, TTIN and TTOU, and to remember what they were. One set per process.
   Returns the read end (non-blocking, close-on-exec), or -1 with errno. A signal that the caller
   had ignored (nohup, a script's background job) stays ignored, but for CHLD. */
int signals_catch(void);
/* In a new child, before exec: every signal as it was before signals_catch, and the caller's mask.
 * Async-signal-safe. */
void signals_restore(void);
/* Ends this process by the signal, without a core dump of its own. Returns only for one that does
 * not kill. */
void signals_die_of(int number);
/* Stops this process (for own_group: the whole group, as a terminal would) by the signal until it
 * is continued. */
void signals_stop_by(int number, int own_group);

#endif
