#include "dashboard/fleet/verdict.h"

#include <string.h>

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

bool verdict_is_problem(const char *outcome)
{
    return strcmp(outcome, "success") != 0;
}

bool verdict_is_switch(const char *name)
{
    static const char *const names[] = {"switch", "boot",     "pull-switch", "upgrade",
                                        "deploy", "activate", "rollback",    NULL};

    return is_one_of(name, names);
}

static bool is_known(const char *name)
{
    static const char *const names[] = {"pull",  "update", "build", "test", "dry-activate",
                                        "check", "gc",     "push",  NULL};

    return verdict_is_switch(name) || is_one_of(name, names);
}

/* Of the switches, only the newest counts. */
static bool is_outdated(const struct verdict_row *rows, size_t count, const struct verdict_row *row)
{
    for (size_t i = 0; i < count; i++)
        if (verdict_is_switch(rows[i].name) && rows[i].started_ms > row->started_ms)
            return true;
    return false;
}

static int rank(const struct verdict_row *rows, size_t count, const struct verdict_row *row)
{
    bool is_switch = verdict_is_switch(row->name);

    if (!verdict_is_problem(row->outcome) || !is_known(row->name))
        return 0;
    if (is_switch)
        return is_outdated(rows, count, row) ? 0 : 2;
    return 1;
}

int verdict_of_host(const struct verdict_row *rows, size_t count)
{
    int best = -1, best_rank = -1;

    for (size_t i = 0; i < count; i++) {
        int ranked = rank(rows, count, &rows[i]);

        if (ranked > best_rank ||
            (ranked == best_rank && rows[i].started_ms > rows[best].started_ms)) {
            best = (int)i;
            best_rank = ranked;
        }
    }
    return best;
}
