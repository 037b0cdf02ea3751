/* The derivations of a run: the state of each, when it began and ended, where it is built, and
   which lines are its output. */
#include "phase_internal.h"

#include <stdlib.h>

/* ---- finding a derivation ---- */

/* Each derivation is found by the hash of its store path, by its name, and by its name without a
 * version. */
#define KEYS_EACH 3
#define NOT_FOUND SIZE_MAX

static size_t *key_slot(const struct derivations *all, uint64_t key)
{
    size_t at = (key >> 2) & (all->slots - 1);
    while (all->key[at] != 0 && all->key[at] != key)
        at = (at + 1) & (all->slots - 1);
    return &all->index[at];
}

static bool keys_grow(struct derivations *all)
{
    struct derivations larger = *all;
    larger.slots = all->slots == 0 ? 256 : all->slots * 2;
    larger.key = calloc(larger.slots, sizeof *larger.key);
    larger.index = calloc(larger.slots, sizeof *larger.index);
    if (!larger.key || !larger.index) {
        free(larger.key);
        free(larger.index);
        return false;
    }
    for (size_t at = 0; at < all->slots; at++) {
        if (all->key[at] == 0)
            continue;
        size_t *slot = key_slot(&larger, all->key[at]);
        larger.key[slot - larger.index] = all->key[at];
        *slot = all->index[at];
    }
    free(all->key);
    free(all->index);
    *all = larger;
    return true;
}

/* A name means the derivation that had the name last. */
static void key_set(struct derivations *all, uint64_t key, size_t index)
{
    if (all->keys * 2 >= all->slots && !keys_grow(all))
        return;
    size_t *slot = key_slot(all, key);
    if (all->key[slot - all->index] == 0)
        all->keys++;
    all->key[slot - all->index] = key;
    *slot = index;
}

static size_t key_find(const struct derivations *all, uint64_t key)
{
    if (all->slots == 0)
        return NOT_FOUND;
    size_t *slot = key_slot(all, key);
    return all->key[slot - all->index] == 0 ? NOT_FOUND : *slot;
}

/* The length of a name without its version, as nix writes it before a builder's lines. */
static size_t short_length(const char *name, size_t length)
{
    for (size_t at = 0; at + 1 < length; at++)
        if (name[at] == '-' && !((name[at + 1] | 32) >= 'a' && (name[at + 1] | 32) <= 'z'))
            return at;
    return length;
}

/* ---- the list ---- */

static struct derivation *derivation_at(struct phase *phase, size_t index)
{
    return index == NOT_FOUND ? NULL : &phase->derivations.at[index];
}

static void touch(struct derivation *one)
{
    one->version++;
}

static bool list_grow(struct derivations *all)
{
    size_t capacity = all->capacity == 0 ? 64 : all->capacity * 2;
    struct derivation *larger = realloc(all->at, capacity * sizeof *larger);
    if (!larger)
        return false;
    all->at = larger;
    all->capacity = capacity;
    return true;
}

/* NULL if there are too many. */
static struct derivation *derivation_add(struct phase *phase, const char *name, size_t length,
                                         uint64_t key)
{
    struct derivations *all = &phase->derivations;
    if (all->count >= PHASE_DERIVATIONS_MAX)
        return NULL;
    if ((!all->at || all->count == all->capacity) && !list_grow(all))
        return NULL;
    struct derivation *one = &all->at[all->count];
    *one = (struct derivation){.started_ms = -1, .ended_ms = -1, .line = -1, .version = 1};
    text_copy(one->name, sizeof one->name, name, length);
    key_set(all, text_hash(name, short_length(name, length)), all->count);
    key_set(all, text_hash(name, length), all->count);
    one->only_named = key == 0;
    if (key != 0)
        key_set(all, key, all->count);
    all->count++;
    return one;
}

/* A bar has named the derivation without its path. NULL if there is no such derivation. */
static struct derivation *adopt(struct phase *phase, const struct store_path *path)
{
    struct derivations *all = &phase->derivations;
    size_t index = key_find(all, name_key(path));
    struct derivation *one = derivation_at(phase, index);
    if (!one || !one->only_named)
        return NULL;
    one->only_named = false;
    key_set(all, hash_key(path), index);
    return one;
}

static struct derivation *derivation_of(struct phase *phase, const struct store_path *path)
{
    struct derivation *one = derivation_at(phase, key_find(&phase->derivations, hash_key(path)));
    if (!one)
        one = adopt(phase, path);
    return one ? one : derivation_add(phase, path->name, path->name_length, hash_key(path));
}

void build_listed(struct stream *stream, const struct store_path *path)
{
    (void)derivation_of(stream->run, path); /* a new derivation is waiting */
}

static void begin(struct phase *phase, struct derivation *one, enum derivation_state state)
{
    one->state = state;
    if (one->started_ms < 0)
        one->started_ms = phase->now_ms;
    touch(one);
}

/* Reads the machine from " on 'ssh://builder'". */
static void set_machine(struct derivation *one, const char *at, const char *end)
{
    static const char before[] = " on '";
    if (!begins(at, end, before))
        return;
    at += strlen(before);
    const char *stop = memchr(at, '\'', (size_t)(end - at));
    if (stop)
        text_copy(one->machine, sizeof one->machine, at, (size_t)(stop - at));
}

void build_started(struct stream *stream, const struct store_path *path, const struct line *line)
{
    struct phase *phase = stream->run;
    struct derivation *one = derivation_of(phase, path);
    stream->builder = NOT_FOUND;
    if (!one)
        return;
    set_machine(one, path->after, line->text + line->length);
    begin(phase, one, DERIVATION_BUILDING);
    stream->builder = (size_t)(one - phase->derivations.at);
    stream->builder_name[0] = '\0';
}

void build_fetched(struct stream *stream, const struct store_path *path)
{
    struct derivation *one = derivation_of(stream->run, path);
    if (one)
        begin(stream->run, one, DERIVATION_FETCHED);
}

static void end(struct phase *phase, struct derivation *one, enum derivation_state state)
{
    if (one->stopped && one->state == DERIVATION_BUILDING)
        phase->derivations.stopped--;
    one->state = state;
    if (one->ended_ms < 0)
        one->ended_ms = phase->now_ms;
    touch(one);
}

/* An old message names the path that was built; a bar has only names. */
static void failed(struct phase *phase, uint64_t key, const char *name, size_t length)
{
    struct derivation *one = derivation_at(phase, key_find(&phase->derivations, key));
    if (!one)
        one = derivation_at(phase, key_find(&phase->derivations, text_hash(name, length)));
    if (!one)
        one = derivation_add(phase, name, length, key);
    if (one)
        end(phase, one, DERIVATION_FAILED);
}

void build_failed(struct stream *stream, const struct store_path *path)
{
    failed(stream->run, hash_key(path), path->name, path->name_length);
}

void build_failed_name(struct stream *stream, uint64_t key, const char *name)
{
    failed(stream->run, key, name, strlen(name));
}

size_t phase_derivation_at(const struct phase *phase, const char *text)
{
    struct store_path path;
    if (!take_path(text, text + strlen(text), &path))
        return NOT_FOUND;
    return key_find(&phase->derivations, hash_key(&path));
}

static struct derivation *derivation_at_path(struct phase *phase, const char *text)
{
    return derivation_at(phase, phase_derivation_at(phase, text));
}

void phase_path_ended(struct phase *phase, const char *path)
{
    struct derivation *one = derivation_at_path(phase, path);
    if (one && one->state == DERIVATION_BUILDING && !one->stopped) {
        end(phase, one, DERIVATION_BUILDING);
        one->stopped = true;
        phase->derivations.stopped++;
        builds_counted(phase);
    } else if (one && one->state == DERIVATION_FETCHED) {
        end(phase, one, DERIVATION_FETCHED);
    }
}

static int64_t counted(const struct phase *phase)
{
    const struct meter *builds = &phase->stream[0]->meters.builds;
    int64_t done = builds->base_done + builds->done, recorded = 0;
    for (size_t at = 0; at < phase->record_count; at++)
        recorded += phase->record[at].builds.base_done + phase->record[at].builds.done;
    return recorded > done ? recorded : done;
}

/* A builder that was killed has ended, too, but only success is counted. */
void builds_counted(struct phase *phase)
{
    struct derivations *all = &phase->derivations;
    int64_t done = counted(phase);
    for (size_t at = 0; all->stopped > 0 && at < all->count; at++) {
        struct derivation *one = &all->at[at];
        if (all->succeeded >= done)
            return;
        if (one->state != DERIVATION_BUILDING || !one->stopped)
            continue;
        one->state = DERIVATION_BUILT;
        all->stopped--;
        all->succeeded++;
        touch(one);
    }
}

void phase_owner(struct phase *phase, const char *path)
{
    struct derivation *one = path ? derivation_at_path(phase, path) : NULL;
    phase->owner = one ? (size_t)(one - phase->derivations.at) : NOT_FOUND;
}

void phase_builder_step(struct phase *phase, const char *path, const char *step)
{
    struct derivation *one = derivation_at_path(phase, path);
    if (!one)
        return;
    text_copy(one->step, sizeof one->step, step, strlen(step));
    touch(one);
}

/* ---- nix's internal log ---- */

static struct record *record_of(struct phase *phase, uint64_t process)
{
    for (size_t at = 0; at < phase->record_count; at++)
        if (phase->record[at].process == process)
            return &phase->record[at];
    if (phase->record_count < RECORDS_MAX) {
        phase->record[phase->record_count].process = process;
        return &phase->record[phase->record_count++];
    }
    struct record *last = &phase->record[RECORDS_MAX - 1]; /* more processes share the last place */
    last->process = process;
    return last;
}

void phase_record_builds(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                         int64_t expected, int64_t failed)
{
    meter_set(&record_of(phase, process)->builds, running, done, expected, failed);
    builds_counted(phase);
    if (running > 0)
        phase_set(phase->stream[0], PHASE_BUILDING);
}

void phase_record_paths(struct phase *phase, uint64_t process, int64_t running, int64_t done,
                        int64_t expected)
{
    meter_set(&record_of(phase, process)->paths, running, done, expected, 0);
}

void phase_record_started(struct phase *phase, const char *text, const char *machine, bool build)
{
    struct store_path path;
    if (!take_path(text, text + strlen(text), &path))
        return;
    struct derivation *one = derivation_of(phase, &path);
    if (!one)
        return;
    if (build)
        text_copy(one->machine, sizeof one->machine, machine, strlen(machine));
    begin(phase, one, build ? DERIVATION_BUILDING : DERIVATION_FETCHED);
    phase_current(phase->stream[0], path.name, path.name_length);
}

/* ---- the bar ---- */

/* The bar names one of the running derivations. If only one runs, this one has ended when the count
   of done ones rises. */
void build_in_bar(struct stream *stream, const char *name, size_t length)
{
    struct phase *phase = stream->run;
    struct derivation *one =
        derivation_at(phase, key_find(&phase->derivations, text_hash(name, length)));
    if (!one)
        one = derivation_add(phase, name, length, 0);
    stream->in_bar = NOT_FOUND;
    if (!one)
        return;
    if (one->state == DERIVATION_WAITING)
        begin(phase, one, DERIVATION_BUILDING);
    if (stream->meters.builds.running == 1 && one->state == DERIVATION_BUILDING)
        stream->in_bar = (size_t)(one - phase->derivations.at);
}

void build_counted(struct stream *stream, int64_t more_done, int64_t more_failed)
{
    struct derivation *one = derivation_at(stream->run, stream->in_bar);
    if (one && more_done > 0 && more_failed == 0)
        end(stream->run, one, DERIVATION_BUILT);
    if (more_done > 0 || more_failed > 0)
        stream->in_bar = NOT_FOUND;
}

/* ---- lines ---- */

static void line_of(struct derivation *one, const struct line *line)
{
    if (one->line < 0)
        one->line = line->number;
    one->lines++;
    touch(one);
}

/* "NAME> TEXT": most lines are from the same builder as the line before. */
static size_t builder_of(struct stream *stream, const struct line *line, size_t length)
{
    if (length < sizeof stream->builder_name &&
        memcmp(stream->builder_name, line->text, length) == 0 &&
        stream->builder_name[length] == '\0')
        return stream->builder;
    stream->builder = key_find(&stream->run->derivations, text_hash(line->text, length));
    text_copy(stream->builder_name, sizeof stream->builder_name, line->text,
              length < sizeof stream->builder_name ? length : 0);
    return stream->builder;
}

/* The length of NAME in "NAME> TEXT" of nix -L; 0 for other lines. */
static size_t builder_prefix(const struct line *line)
{
    size_t at = 0, most = line->length < 128 ? line->length : 128;
    while (at < most && line->text[at] > ' ' && line->text[at] != '>')
        at++;
    return at > 0 && at < most && line->text[at] == '>' ? at : 0;
}

bool build_line(struct stream *stream, const struct line *line)
{
    size_t length = builder_prefix(line), index;
    if (stream->run->owner != NOT_FOUND)
        index = stream->run->owner;
    else if (length > 0)
        index = builder_of(stream, line, length);
    else if (stream->believe.raw_open && stream->builder_name[0] == '\0')
        index = stream->builder; /* the last line without a name was the start of this builder */
    else
        return false;
    if (index < stream->run->derivations.count)
        line_of(&stream->run->derivations.at[index], line);
    return true;
}

/* ---- the end ---- */

/* Whether the count of done derivations is as large as the number that may have been built. */
static bool all_done(const struct phase *phase)
{
    int64_t done = 0, seen = 0;
    for (size_t at = 0; at < phase->stream_count; at++)
        done += phase->stream[at]->meters.builds.base_done + phase->stream[at]->meters.builds.done;
    for (size_t at = 0; at < phase->derivations.count; at++)
        seen += phase->derivations.at[at].state == DERIVATION_BUILDING ||
                phase->derivations.at[at].state == DERIVATION_BUILT;
    return seen <= done;
}

void builds_end(struct phase *phase, bool success)
{
    bool built = success || all_done(phase);
    for (size_t at = 0; at < phase->derivations.count; at++) {
        struct derivation *one = &phase->derivations.at[at];
        if (one->state != DERIVATION_BUILDING || !built)
            continue;
        one->state = DERIVATION_BUILT; /* the time of its end is not known */
        touch(one);
    }
}

void builds_free(struct phase *phase)
{
    free(phase->derivations.at);
    free(phase->derivations.key);
    free(phase->derivations.index);
}

void phase_time(struct phase *phase, int64_t now_ms)
{
    phase->now_ms = now_ms;
}

size_t phase_derivation_count(const struct phase *phase)
{
    return phase->derivations.count;
}

const struct derivation *phase_derivation(const struct phase *phase, size_t index)
{
    return index < phase->derivations.count ? &phase->derivations.at[index] : NULL;
}

const char *derivation_state_name(enum derivation_state state)
{
    static const char *const names[] = {"waiting", "building", "built", "failed", "fetched"};
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "";
}
