/* The newest durations of one thing as text: "81000 79500 90210", in milliseconds, newest first.
   For engines, which keep one such text for each thing. Pure functions. */
#ifndef NIXFLEET_DASHBOARD_STORE_DURATIONS_H
#define NIXFLEET_DASHBOARD_STORE_DURATIONS_H

#include "dashboard/store/rows.h"

#define DURATIONS_TEXT_SIZE (DURATIONS_KEPT * 21)

/* Puts ms (below 0: as 0) in front of text (NULL: there was nothing), and drops what is beyond
 * DURATIONS_KEPT. out may not be text. */
void durations_add(char out[DURATIONS_TEXT_SIZE], const char *text, int64_t ms);
/* Reads a text into row->ms and row->count. NULL is an empty text; what is no number ends it. */
void durations_read(const char *text, struct duration_row *row);

#endif
