#include "dashboard/store/durations.h"

#include <stdio.h>
#include <stdlib.h>

void durations_read(const char *text, struct duration_row *row)
{
    row->count = 0;
    while (text && row->count < DURATIONS_KEPT) {
        char *end;
        long long ms = strtoll(text, &end, 10);

        if (end == text)
            return;
        row->ms[row->count++] = ms < 0 ? 0 : ms;
        text = end;
    }
}

void durations_add(char out[DURATIONS_TEXT_SIZE], const char *text, int64_t ms)
{
    struct duration_row row;
    int size = snprintf(out, DURATIONS_TEXT_SIZE, "%lld", ms < 0 ? 0LL : (long long)ms);

    durations_read(text, &row);
    for (size_t i = 0; i < row.count && i < DURATIONS_KEPT - 1; i++)
        size +=
            snprintf(out + size, DURATIONS_TEXT_SIZE - (size_t)size, " %lld", (long long)row.ms[i]);
}
