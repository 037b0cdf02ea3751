/* The newest durations of one thing as text: "81000 79500 90210", in milliseconds, newest first. An
   engine stores one such text for each thing. Pure functions. */
#ifndef NIXFLEET_DASHBOARD_STORE_DURATIONS_H
#define NIXFLEET_DASHBOARD_STORE_DURATIONS_H

#include "dashboard/store/rows.h"

#define DURATIONS_TEXT_SIZE (DURATIONS_KEPT * 21)

/* Writes to out: ms (a negative number counts as 0), then text (NULL: empty), without the durations
 * beyond DURATIONS_KEPT. out must not be text. */
void durations_add(char out[DURATIONS_TEXT_SIZE], const char *text, int64_t ms);
/* Reads a text into row->ms and row->count. NULL is an empty text; the text ends at anything that
 * is not a number. */
void durations_read(const char *text, struct duration_row *row);

#endif
