/* What the parts of the pump share: output (pump_flow.c), the caller's terminal (pump_keys.c), and
   the loop that calls them (pump.c). Nothing here waits. */
#ifndef NIXFLEET_PUMP_PARTS_H
#define NIXFLEET_PUMP_PARTS_H

#include "pump.h"

/* How long after output or a key press to watch the terminal modes closely (pump->alert_ms). */
#define ALERT_MS 1000
/* How long the rest of the output waits for a caller that reads nothing, if a signal to us ended
 * the command: without nixfleet-run the command would have ended during this write. */
#define GIVE_UP_MS 200

/* ---- output ---- */

/* from and to: borrowed, -1 for none. */
void flow_init(struct flow *flow, int from, int to, bool is_pipe);
/* Calls read(2) once. Returns the number of bytes; at the end of the stream `from` becomes -1. */
size_t flow_read(struct pump *pump, struct flow *flow);
/* Whether bytes wait to be written. */
bool flow_pending(const struct flow *flow);
/* Whether the flow may be read: after the command's end only the bytes that the command has left.
 */
bool flow_may_read(const struct pump *pump, const struct flow *flow);
/* Writes a line for a person now, not at the end of the run; drops it if problems are not to be
 * written. */
void pump_say(struct pump *pump, const char *text);
/* Appends bytes to the log: output of the command, or a line of ours. */
void pump_record(struct pump *pump, const void *bytes, size_t size);
/* Writes what the caller accepts now. If the reader has gone or the disk is full, the flow is
 * emptied. */
void flow_write(struct pump *pump, struct flow *flow);
/* Nothing comes behind a CR that was held. */
void flow_give_held_cr(struct flow *flow);

/* ---- keys, window, terminal ---- */

/* Whether to poll the terminal for keys. */
bool keys_wanted(const struct pump *pump);
/* events: what poll said of the terminal. */
void keys_serve(struct pump *pump, short events);
/* Gives the command what it takes of the keys. */
void keys_write(struct pump *pump);
/* Whether the terminal may become ours, or another's, without a signal that says so; and the
 * milliseconds to the next look then. */
bool keys_look_often(const struct pump *pump);
int64_t keys_look_pause(const struct pump *pump);
/* Whether the command wants the keys of a terminal that is not ours alone (shared.h). Looked at
 * before its prompt is shown, so that nothing is typed in between. */
void keys_look_at_modes(struct pump *pump);
/* The terminal's window is the command's. Returns whether it has changed. */
bool keys_follow_window(struct pump *pump);
/* Whose the terminal is, and its window. */
void keys_look_at_terminal(struct pump *pump);
/* We may have come to the foreground. */
void keys_resume(struct pump *pump);
/* The command has ended: what was typed and not read is for whoever reads next, as far as the
 * kernel allows that. */
void keys_end(struct pump *pump);
/* Stops us by the signal, with the terminal given back, until someone continues us. */
void keys_stop(struct pump *pump, int signal_number, bool own_group);
/* The command has stopped: so do we. */
void keys_suspend(struct pump *pump, int signal_number);

#endif
