#include "dashboard/fleet/phases.h"

#include <stdio.h>
#include <string.h>

#define LATE "late"

static const struct {
    const char *name;
    int place;
} phases[PHASE_COUNT] = {
    {"running", 0},  {"pulling", 1},    {"updating", 2},  {"evaluating", 3}, {"fetching", 4},
    {"building", 4}, {"activating", 5}, {"switching", 6}, {"testing", 7},
};

int phase_index(const char *name)
{
    if (!name || !*name)
        return PHASE_RUNNING;
    for (int i = 0; i < PHASE_COUNT; i++)
        if (strcmp(phases[i].name, name) == 0)
            return i;
    return -1;
}

const char *phase_label(int phase)
{
    return phases[phase].name;
}

int phase_place(int phase)
{
    return phases[phase].place;
}

void phases_read(const char *text, struct phase_times *times)
{
    char name[16];
    long long ms;
    int size;

    *times = (struct phase_times){0};
    while (sscanf(text, "%15s %lld%n", name, &ms, &size) == 2) {
        int phase = phase_index(name);

        if (strcmp(name, LATE) == 0)
            times->late = true;
        else if (phase >= 0 && ms > 0)
            times->ms[phase] = ms;
        text += size;
    }
}

void phases_write(const struct phase_times *times, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < PHASE_COUNT && used < size; i++)
        if (times->ms[i] > 0)
            used += (size_t)snprintf(out + used, size - used, "%s%s %lld", used ? " " : "",
                                     phases[i].name, (long long)times->ms[i]);
    if (times->late && used < size)
        snprintf(out + used, size - used, "%s" LATE " 1", used ? " " : "");
}
