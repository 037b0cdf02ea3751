/* Declarations for the parts of the pump: output (pump_flow.c), the caller's terminal
   (pump_keys.c), and the loop that calls them (pump.c). Nothing here waits. */
#ifndef NIXFLEET_PUMP_PARTS_H
#define NIXFLEET_PUMP_PARTS_H

#include "pump.h"

/* The time after output or a key in which the terminal modes are watched closely
 * (pump->alert_ms). */
#define ALERT_MS 1000
/* If a signal to us ended the command: the time that the rest of the output waits for a caller that
 * reads nothing. Without nixfleet-run the command would have ended during this write. */
#define GIVE_UP_MS 200

/* ---- output ---- */

/* from and to: of the caller of this function; -1 for none. */
void flow_init(struct flow *flow, int from, int to, bool is_pipe);
/* Calls read(2) once. Returns the number of bytes. At the end of the stream `from` becomes -1. */
size_t flow_read(struct pump *pump, struct flow *flow);
/* Whether bytes wait to be written. */
bool flow_pending(const struct flow *flow);
/* Whether the flow has a source, and space for more bytes. */
bool flow_has_space(const struct flow *flow);
/* Whether the flow may be read: it has space; after the end of the command, only the bytes that the
 * command has left. */
bool flow_may_read(const struct pump *pump, const struct flow *flow);
/* Writes a line for a person now, not at the end of the run. Drops the line if pump->errors is
 * NULL. */
void pump_print(struct pump *pump, const char *text);
/* Appends bytes to the log: output of the command, or a line of ours. */
void pump_record(struct pump *pump, const void *bytes, size_t size);
/* Writes what the caller accepts now. If the reader is gone or the disk is full, drops what
 * waits. */
void flow_write(struct pump *pump, struct flow *flow);
/* Makes a held CR a normal byte, because nothing comes behind it. */
void flow_give_held_cr(struct flow *flow);

/* ---- keys, window, terminal ---- */

/* Whether to poll the terminal for keys. */
bool keys_wanted(const struct pump *pump);
/* Handles what poll reported for the terminal. */
void keys_serve(struct pump *pump, short events);
/* Writes to the command as many keys as it accepts now. */
void keys_write(struct pump *pump);
/* Whether the foreground of the terminal may change without a signal; then keys_look_pause returns
 * the milliseconds until the next look. */
bool keys_look_often(const struct pump *pump);
int64_t keys_look_pause(const struct pump *pump);
/* Finds out whether the command wants the keys of a shared terminal (shared.h). Must be called
 * before the command's prompt is shown, so that nothing is typed in between. */
void keys_look_at_modes(struct pump *pump);
/* Gives the window of the caller's terminal to the command. Returns whether it has changed. */
bool keys_follow_window(struct pump *pump);
/* Checks which process group is in the foreground, and the window. */
void keys_look_at_terminal(struct pump *pump);
/* To be called when we may have come to the foreground. */
void keys_resume(struct pump *pump);
/* To be called when the command has ended: what was typed but not read goes back to the terminal
 * for the next reader, if the kernel allows that. */
void keys_end(struct pump *pump);
/* Restores the terminal and stops us by the signal, until another process continues us. */
void keys_stop(struct pump *pump, int signal_number, bool own_group);
/* To be called when the command has stopped: stops us, too. */
void keys_suspend(struct pump *pump, int signal_number);

#endif
