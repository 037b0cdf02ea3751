#include "dashboard/fleet/estimate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Percentiles of past durations. The range in the answer does not contain the extremes. */
#define LOW 20
#define MIDDLE 50
#define HIGH 80
/* The smallest width of a range on each side, in percent, with few and with MANY past durations. */
#define WIDTH_FEW 35
#define WIDTH_MANY 20
#define MANY 3
#define NEAREST 3     /* the number of most similar past runs */
#define NEAR 200      /* percent: the largest difference of a similar run */
#define LEAST_SHARE 3 /* a counted build takes at least this part of its usual time */
/* A phase or derivation that took this much longer (percent) than any before is overdue. */
#define OVERDUE 125
#define OVERDUE_LEAST_MS 2000

/* Past durations, sorted. */
struct values {
    int64_t ms[DURATIONS_KEPT];
    size_t count;
};

struct known {
    char *name;
    struct values values;
};

/* When a derivation was built. */
struct span {
    int64_t from_ms, to_ms;
};

/* A derivation that is not built yet. */
struct pending {
    char *name;
    int64_t elapsed_ms; /* -1: it waits */
};

struct estimate {
    int64_t now_ms;
    bool failed; /* out of memory: no estimate */
    /* Of past runs, newest first. 0: the run was never in this phase. */
    int64_t phases[PHASE_COUNT][DURATIONS_KEPT];
    size_t runs;
    struct duration_row each;
    int64_t most; /* built at once */
    struct known *known, *after;
    size_t known_count, known_capacity, after_count, after_capacity;
    /* Of the present run. */
    struct pending *pending;
    size_t pending_count, pending_capacity;
    struct span *built;
    size_t built_count, built_capacity;
    size_t building;
};

/* ---- names ---- */

/* The length of the file extension at the end of a version: "1.2.tar.gz" has ".tar.gz". */
static size_t extension_length(const char *part, size_t length)
{
    size_t kept = length;

    while (kept > 0) {
        size_t at = kept;

        while (at > 0 && part[at - 1] != '.')
            at--;
        if (at == 0 || !isalpha((unsigned char)part[at]) || kept - at > 6)
            break;
        kept = at - 1;
    }
    return length - kept;
}

void derivation_key(const char *name, char out[DERIVATION_KEY_SIZE])
{
    size_t size = 0;

    for (const char *part = name; *part;) {
        size_t length = strcspn(part, "-"), skip = 0;

        if (part != name && isdigit((unsigned char)*part))
            skip = length - extension_length(part, length);
        if (length > skip || part == name) {
            if (size && !skip && size < DERIVATION_KEY_SIZE - 1)
                out[size++] = '-';
            for (size_t i = skip; i < length && size < DERIVATION_KEY_SIZE - 1; i++)
                out[size++] = part[i];
        }
        part += length + (part[length] == '-');
    }
    out[size] = '\0';
}

/* ---- collecting ---- */

/* Makes space for one more element in the array *at of count elements of size bytes. */
static bool grow(struct estimate *estimate, void **at, size_t *capacity, size_t count, size_t size)
{
    size_t more = *capacity ? *capacity * 2 : 64;
    void *grown;

    if (count < *capacity)
        return true;
    grown = realloc(*at, more * size);
    if (!grown) {
        estimate->failed = true;
        return false;
    }
    *at = grown;
    *capacity = more;
    return true;
}

struct estimate *estimate_new(int64_t now_ms)
{
    struct estimate *estimate = calloc(1, sizeof *estimate);

    if (estimate)
        estimate->now_ms = now_ms;
    return estimate;
}

static void free_known(struct known *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(known[i].name);
    free(known);
}

void estimate_free(struct estimate *estimate)
{
    if (!estimate)
        return;
    free_known(estimate->known, estimate->known_count);
    free_known(estimate->after, estimate->after_count);
    for (size_t i = 0; i < estimate->pending_count; i++)
        free(estimate->pending[i].name);
    free(estimate->pending);
    free(estimate->built);
    free(estimate);
}

static int by_size(const void *a, const void *b)
{
    const int64_t *first = a, *second = b;

    return (*first > *second) - (*first < *second);
}

/* Adds a row to the list at *at. */
static void add_known(struct estimate *estimate, struct known **at, size_t *count, size_t *capacity,
                      const struct duration_row *row)
{
    struct known *known;

    if (!row->count || !grow(estimate, (void **)at, capacity, *count, sizeof *known))
        return;
    known = &(*at)[*count];
    if (!(known->name = strdup(row->what))) {
        estimate->failed = true;
        return;
    }
    ++*count;
    known->values.count = row->count;
    memcpy(known->values.ms, row->ms, row->count * sizeof *row->ms);
    qsort(known->values.ms, row->count, sizeof *row->ms, by_size);
}

static void add_phase(struct estimate *estimate, int phase, const struct duration_row *row)
{
    memcpy(estimate->phases[phase], row->ms, row->count * sizeof *row->ms);
    if (row->count > estimate->runs)
        estimate->runs = row->count;
}

static void add_builds(struct estimate *estimate, const struct duration_row *row)
{
    if (strcmp(row->what, BUILDS_EACH) == 0)
        estimate->each = *row;
    for (size_t i = 0; strcmp(row->what, BUILDS_AT_ONCE) == 0 && i < row->count; i++)
        if (row->ms[i] > estimate->most)
            estimate->most = row->ms[i];
}

void estimate_history(void *context, const struct duration_row *row)
{
    struct estimate *estimate = context;
    int phase;

    if (strcmp(row->kind, DURATION_DERIVATION) == 0)
        add_known(estimate, &estimate->known, &estimate->known_count, &estimate->known_capacity,
                  row);
    else if (strcmp(row->kind, DURATION_AFTER) == 0)
        add_known(estimate, &estimate->after, &estimate->after_count, &estimate->after_capacity,
                  row);
    else if (strcmp(row->kind, DURATION_BUILDS) == 0)
        add_builds(estimate, row);
    else if (strcmp(row->kind, DURATION_PHASE) == 0 && (phase = phase_index(row->what)) >= 0)
        add_phase(estimate, phase, row);
}

bool estimate_knows(const struct estimate *estimate)
{
    return estimate->runs > 0 && !estimate->failed;
}

static void add_built(struct estimate *estimate, const struct derivation_row *row)
{
    if (grow(estimate, (void **)&estimate->built, &estimate->built_capacity, estimate->built_count,
             sizeof *estimate->built))
        estimate->built[estimate->built_count++] = (struct span){row->started_ms, row->ended_ms};
}

static void add_pending(struct estimate *estimate, const char *name, int64_t elapsed_ms)
{
    char key[DERIVATION_KEY_SIZE];
    struct pending *pending;

    derivation_key(name, key);
    if (!grow(estimate, (void **)&estimate->pending, &estimate->pending_capacity,
              estimate->pending_count, sizeof *pending))
        return;
    pending = &estimate->pending[estimate->pending_count];
    pending->elapsed_ms = elapsed_ms;
    if (!(pending->name = strdup(key)))
        estimate->failed = true;
    else
        estimate->pending_count++;
}

void estimate_derivation(void *context, const struct derivation_row *row)
{
    struct estimate *estimate = context;
    int64_t elapsed = estimate->now_ms - row->started_ms;

    if (strcmp(row->state, "waiting") == 0) {
        add_pending(estimate, row->name, -1);
    } else if (strcmp(row->state, "built") == 0) {
        if (row->started_ms && row->ended_ms >= row->started_ms &&
            row->ended_ms - row->started_ms <= ESTIMATE_MAX_MS)
            add_built(estimate, row);
    } else if (strcmp(row->state, "building") == 0 && row->started_ms && !row->ended_ms &&
               elapsed <= ESTIMATE_MAX_MS) {
        add_pending(estimate, row->name, elapsed > 0 ? elapsed : 0);
        estimate->building++;
    }
}

/* ---- what past durations say ---- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The value at a percentile of sorted values; if needed, interpolated between two of them. */
static int64_t percentile(const int64_t *sorted, size_t count, int64_t percent)
{
    int64_t place = (int64_t)(count - 1) * percent, at = place / 100, rest = place % 100;

    return rest ? sorted[at] + (sorted[at + 1] - sorted[at]) * rest / 100 : sorted[at];
}

static struct estimate_left spread(const int64_t *sorted, size_t count)
{
    return (struct estimate_left){percentile(sorted, count, MIDDLE), percentile(sorted, count, LOW),
                                  percentile(sorted, count, HIGH)};
}

/* The remaining time of a phase or derivation that has taken elapsed_ms. Only past ones that took
 * longer count. False: there are none. */
static bool residual(const struct values *past, int64_t elapsed_ms, struct estimate_left *left)
{
    size_t first = 0;

    while (first < past->count && past->ms[first] <= elapsed_ms)
        first++;
    if (first == past->count)
        return false;
    *left = spread(past->ms + first, past->count - first);
    left->ms -= elapsed_ms;
    left->low_ms -= elapsed_ms;
    left->high_ms -= elapsed_ms;
    return true;
}

static bool is_overdue(int64_t elapsed_ms, int64_t longest_ms)
{
    return elapsed_ms > longest_ms * OVERDUE / 100 + OVERDUE_LEAST_MS;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

/* ---- the derivations that are left ---- */

/* The sums over the remaining derivations, and the longest chain of derivations that depend on each
 * other. */
struct workload {
    struct estimate_left sum, chain;
    size_t counted, overdue;
};

/* The time of a derivation with a new name: the median of this run's derivations, or else of all
 * known ones. False: no derivation is known. */
static bool unknown_values(struct estimate *estimate, struct values *out)
{
    size_t built = estimate->built_count, count = built ? built : estimate->known_count;
    int64_t *all = calloc(count + 1, sizeof *all);
    struct estimate_left range;

    if (!all || !count) {
        free(all);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        all[i] = built ? estimate->built[i].to_ms - estimate->built[i].from_ms
                       : percentile(estimate->known[i].values.ms, estimate->known[i].values.count,
                                    MIDDLE);
    qsort(all, count, sizeof *all, by_size);
    range = spread(all, count);
    *out = (struct values){{range.low_ms, range.ms, range.high_ms}, 3};
    free(all);
    return true;
}

static const struct values *find_values(const struct known *known, size_t count, const char *name)
{
    const struct known key = {.name = (char *)name},
                       *found = count ? bsearch(&key, known, count, sizeof key, by_name) : NULL;

    return found ? &found->values : NULL;
}

/* after_ms: the time of the builds that depend on the derivation. */
static void add_work(struct workload *load, const struct estimate_left *left, int64_t after_ms)
{
    load->counted++;
    load->sum.ms += left->ms;
    load->sum.low_ms += left->low_ms;
    load->sum.high_ms += left->high_ms;
    load->chain.ms = larger(load->chain.ms, left->ms + after_ms);
    load->chain.low_ms = larger(load->chain.low_ms, left->low_ms + after_ms);
    load->chain.high_ms = larger(load->chain.high_ms, left->high_ms + after_ms);
}

/* False: no derivation is known. */
static bool weigh(struct estimate *estimate, struct workload *load)
{
    struct values other = {0};
    bool known_any = unknown_values(estimate, &other);

    qsort(estimate->known, estimate->known_count, sizeof *estimate->known, by_name);
    qsort(estimate->after, estimate->after_count, sizeof *estimate->after, by_name);
    for (size_t i = 0; known_any && i < estimate->pending_count; i++) {
        const struct pending *pending = &estimate->pending[i];
        const struct values *past =
                                find_values(estimate->known, estimate->known_count, pending->name),
                            *after =
                                find_values(estimate->after, estimate->after_count, pending->name);
        int64_t elapsed = pending->elapsed_ms > 0 ? pending->elapsed_ms : 0;
        struct estimate_left left;

        if (!past)
            past = &other;
        if (residual(past, elapsed, &left))
            add_work(load, &left, after ? after->ms[0] : 0);
        else if (is_overdue(elapsed, past->ms[past->count - 1]))
            load->overdue++;
    }
    return known_any;
}

/* Takes sorted starts and ends. A start before the next end means one more build at the same time.
 */
static int64_t most_at_once(const int64_t *from, const int64_t *to, size_t count)
{
    int64_t most = 0;
    size_t ended = 0;

    for (size_t begun = 0; begun < count; begun++) {
        while (ended < begun && to[ended] <= from[begun])
            ended++;
        most = larger(most, (int64_t)(begun + 1 - ended));
    }
    return most;
}

int64_t estimate_at_once(const struct estimate *estimate)
{
    size_t count = estimate->built_count;
    int64_t *from = calloc(count + 1, sizeof *from), *to = calloc(count + 1, sizeof *to), most = 0;

    for (size_t i = 0; from && to && i < count; i++) {
        from[i] = estimate->built[i].from_ms;
        to[i] = estimate->built[i].to_ms;
    }
    if (from && to) {
        qsort(from, count, sizeof *from, by_size);
        qsort(to, count, sizeof *to, by_size);
        most = most_at_once(from, to, count);
    }
    free(from);
    free(to);
    return most;
}

/* The wall time of the work. The lower bound is the longest chain, or the work with all build slots
 * in use all the time. nix fills each slot that it can, so the upper bound is the chain followed by
 * the rest of the work (Graham's bound). Recorded runs were at one third between the two bounds. */
static int64_t wall_of(int64_t work_ms, int64_t chain_ms, int64_t at_once)
{
    int64_t chain = chain_ms < work_ms ? chain_ms : work_ms,
            least = larger(chain, work_ms / at_once), most = chain + (work_ms - chain) / at_once;

    return least + (most - least) / 3;
}

/* The time of the remaining builds. Longer and shorter builds balance each other, so only half of
 * the width counts. */
static enum estimate_answer builds_left(struct estimate *estimate, struct estimate_left *left)
{
    struct workload load = {0};
    int64_t at_once, width;

    if (!estimate->pending_count || !weigh(estimate, &load))
        return ESTIMATE_NONE;
    if (!load.counted && load.overdue == estimate->building && load.overdue)
        return ESTIMATE_OVERDUE;
    at_once = larger(estimate->most, estimate_at_once(estimate));
    at_once = at_once ? at_once : larger(1, (int64_t)estimate->building);
    width = load.counted > 1 ? 2 : 1;
    left->ms = wall_of(load.sum.ms, load.chain.ms, at_once);
    left->low_ms =
        wall_of(load.sum.ms - (load.sum.ms - load.sum.low_ms) / width, load.chain.low_ms, at_once);
    left->high_ms = wall_of(load.sum.ms + (load.sum.high_ms - load.sum.ms) / width,
                            load.chain.high_ms, at_once);
    return ESTIMATE_LEFT;
}

/* ---- the phases that are left ---- */

/* The time at a place, in a past run or (past: -1) in the present run. */
static int64_t time_at(const struct estimate *estimate, const struct estimate_run *run, int place,
                       int past)
{
    int64_t ms = 0;

    for (int i = 0; i < PHASE_COUNT; i++)
        if (phase_place(i) == place)
            ms += past < 0 ? run->times.ms[i] : estimate->phases[i][past];
    return ms;
}

/* A value of a past run, and the difference of that run from the present run. */
struct sample {
    int64_t value, distance; /* percent of the smaller number */
};

static int by_distance(const void *a, const void *b)
{
    const struct sample *first = a, *second = b;

    return (first->distance > second->distance) - (first->distance < second->distance);
}

static int64_t distance(int64_t a, int64_t b)
{
    int64_t small = a < b ? a : b, large = a < b ? b : a;

    return large * 100 / (small > 0 ? small : 1);
}

/* Finds the values of the most similar past runs, sorted: of all that are similar enough, or else
 * of the most similar one. Returns how many. */
static size_t nearest(struct sample *samples, size_t count, int64_t *out)
{
    size_t taken = 0;

    qsort(samples, count, sizeof *samples, by_distance);
    while (taken < count && taken < NEAREST && (!taken || samples[taken].distance <= NEAR)) {
        out[taken] = samples[taken].value;
        taken++;
    }
    qsort(out, taken, sizeof *out, by_size);
    return taken;
}

/* Finds the time for each derivation in past runs with about as many builds. Returns how many runs.
 */
static size_t nearest_each(const struct estimate *estimate, int64_t builds, int64_t *out)
{
    struct sample samples[DURATIONS_KEPT] = {0};
    size_t count = 0;

    for (size_t i = 0; i < estimate->each.count && i < estimate->runs; i++) {
        int64_t each = estimate->each.ms[i],
                all = time_at(estimate, NULL, phase_place(phase_index("building")), (int)i);

        if (each > 0)
            samples[count++] = (struct sample){each, distance(all / each, builds)};
    }
    return nearest(samples, count, out);
}

/* As builds_left, if only numbers are known: how many derivations remain, and the time for each in
 * past runs with about as many. */
static enum estimate_answer counted_left(const struct estimate *estimate,
                                         const struct estimate_run *run, struct estimate_left *left)
{
    int64_t elapsed = time_at(estimate, run, phase_place(phase_index("building")), -1), count = 0,
            all = 0, each[DURATIONS_KEPT] = {0}, least;
    size_t found;

    if (run->to_build > 0 && run->built >= 0) {
        all = run->to_build;
        count = all - run->built;
    } else {
        for (size_t i = 0; i < estimate->pending_count; i++)
            count += estimate->pending[i].elapsed_ms < 0;
        all = (int64_t)(estimate->pending_count + estimate->built_count);
    }
    found = nearest_each(estimate, all, each);
    if (count <= 0 || !found)
        return ESTIMATE_NONE;
    *left = spread(each, found);
    least = left->low_ms * count / LEAST_SHARE;
    left->ms = larger(left->ms * all - elapsed, least);
    left->low_ms = larger(left->low_ms * all - elapsed, least);
    left->high_ms = larger(left->high_ms * all - elapsed, left->high_ms * count);
    return ESTIMATE_LEFT;
}

/* The time of a past run after a place, minus the time that the present run has spent there. */
static int64_t time_behind(const struct estimate *estimate, const struct estimate_run *run,
                           int place, int past)
{
    int64_t ms = 0;

    for (int at = place + 1; at <= phase_place(PHASE_COUNT - 1); at++)
        ms += larger(0, time_at(estimate, run, at, past) - time_at(estimate, run, at, -1));
    return ms;
}

/* The time from the end of a place to the end of the run, from all past runs. */
static struct estimate_left left_behind(const struct estimate *estimate,
                                        const struct estimate_run *run, int place)
{
    int64_t ms[DURATIONS_KEPT] = {0};

    for (size_t i = 0; i < estimate->runs; i++)
        ms[i] = time_behind(estimate, run, place, (int)i);
    qsort(ms, estimate->runs, sizeof *ms, by_size);
    return spread(ms, estimate->runs);
}

/* The time from now to the end of a run that is at a place. Only past runs that stayed there longer
 * count. up_to: the place at whose beginning the time ends. */
static enum estimate_answer phases_left(const struct estimate *estimate,
                                        const struct estimate_run *run, int up_to,
                                        struct estimate_left *left)
{
    int place = phase_place(run->phase);
    int64_t elapsed = time_at(estimate, run, place, -1), longest = 0, ms[DURATIONS_KEPT];
    size_t count = 0;

    for (size_t i = 0; i < estimate->runs; i++) {
        int64_t here = time_at(estimate, run, place, (int)i);

        longest = larger(longest, here);
        if (here > elapsed)
            ms[count++] = here - elapsed + time_behind(estimate, run, place, (int)i) -
                          (up_to > place ? time_behind(estimate, run, up_to - 1, (int)i) : 0);
    }
    if (!longest)
        return ESTIMATE_NONE; /* no past run was here */
    if (!count && is_overdue(elapsed, longest))
        return ESTIMATE_OVERDUE;
    if (!count) { /* a little longer than all past runs: only the later phases remain */
        *left = (struct estimate_left){0};
        if (up_to <= place)
            *left = left_behind(estimate, run, place);
        return ESTIMATE_LEFT;
    }
    qsort(ms, count, sizeof *ms, by_size);
    *left = spread(ms, count);
    return ESTIMATE_LEFT;
}

/* A longer time than the maximum is no estimate. */
static enum estimate_answer bounded(enum estimate_answer answer, struct estimate_left *left)
{
    if (answer != ESTIMATE_LEFT || left->ms > ESTIMATE_MAX_MS)
        return answer == ESTIMATE_LEFT ? ESTIMATE_NONE : answer;
    if (left->high_ms > ESTIMATE_MAX_MS)
        left->high_ms = ESTIMATE_MAX_MS;
    return answer;
}

static void add_left(struct estimate_left *left, const struct estimate_left *more)
{
    left->ms += more->ms;
    left->low_ms += more->low_ms;
    left->high_ms += more->high_ms;
}

/* Widens the range if only few past runs are known. */
static void widen(const struct estimate *estimate, struct estimate_left *left)
{
    int64_t width = left->ms * (estimate->runs < MANY ? WIDTH_FEW : WIDTH_MANY) / 100;

    left->ms = larger(left->ms, 1);
    if (left->low_ms > left->ms - width)
        left->low_ms = left->ms - width;
    left->low_ms = larger(left->low_ms, 0);
    left->high_ms = larger(left->high_ms, left->ms + width);
}

enum estimate_answer estimate_remaining(struct estimate *estimate, const struct estimate_run *run,
                                        struct estimate_left *left)
{
    int place = phase_place(run->phase), builds_at = phase_place(phase_index("building"));
    enum estimate_answer answer = ESTIMATE_NONE;
    struct estimate_left part = {0};

    if (!estimate_knows(estimate))
        return ESTIMATE_NONE;
    if (place <= builds_at) {
        answer = builds_left(estimate, left);
        if (answer == ESTIMATE_NONE)
            answer = counted_left(estimate, run, left);
    }
    if (answer == ESTIMATE_LEFT) {
        if (place < builds_at && phases_left(estimate, run, builds_at, &part) == ESTIMATE_LEFT)
            add_left(left, &part);
        part = left_behind(estimate, run, builds_at);
        add_left(left, &part);
    } else if (answer == ESTIMATE_NONE) {
        answer = phases_left(estimate, run, 0, left);
    }
    if (answer == ESTIMATE_LEFT)
        widen(estimate, left);
    return bounded(answer, left);
}
