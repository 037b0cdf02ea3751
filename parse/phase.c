/* The core of phase: finds the rules for a line by its first bytes, and turns what they learn into
   the view. */
#include "phase_internal.h"

#include <stdlib.h>

static const struct rule *const rule_tables[] = {nix_rules,     nix_error_rules, bar_rules,
                                                 switch_rules,  deploy_rules,    tool_rules,
                                                 trouble_rules, error_rules};
#define TABLES (sizeof rule_tables / sizeof rule_tables[0])
#define RULES_MAX 512 /* rules by first byte; a rule for a digit counts ten times */

const char *phase_name(enum phase_id id)
{
    static const char *const names[] = {"",           "evaluating", "fetching", "building",
                                        "activating", "switching",  "pulling",  "updating",
                                        "testing",    "done",       "failed"};
    return (size_t)id < sizeof names / sizeof names[0] ? names[id] : "";
}

/* ---- finding rules ---- */

static bool byte_matches(char byte, char pattern)
{
    return pattern == *DIGIT ? is_digit(byte) : byte == pattern;
}

/* The first eight bytes of a prefix, which are compared at once. A digit matches any digit. */
static struct rule_entry entry_of(const struct rule *rule)
{
    char value[8] = {0}, mask[8] = {0};
    for (size_t at = 0; at < 8 && rule->prefix[at] != '\0'; at++) {
        if (rule->prefix[at] == *DIGIT)
            continue;
        value[at] = rule->prefix[at];
        mask[at] = (char)0xFF;
    }
    struct rule_entry entry = {.rule = rule};
    memcpy(&entry.value, value, sizeof value);
    memcpy(&entry.mask, mask, sizeof mask);
    return entry;
}

/* Sorts the rules by the first byte of their prefixes; rules with the same byte stay in the order
 * of the tables. */
static bool index_rules(struct phase *phase)
{
    size_t count = 0;
    phase->rules = calloc(RULES_MAX, sizeof *phase->rules);
    if (!phase->rules)
        return false;
    for (unsigned byte = 0; byte < 256; byte++) {
        phase->rules_from[byte] = (uint16_t)count;
        for (size_t table = 0; table < TABLES; table++)
            for (const struct rule *rule = rule_tables[table]; rule->prefix; rule++)
                if (byte_matches((char)byte, rule->prefix[0]) && count < RULES_MAX)
                    phase->rules[count++] = entry_of(rule);
    }
    phase->rules_from[256] = (uint16_t)count;
    return true;
}

static bool matches(const char *text, size_t length, const char *prefix)
{
    size_t at = 0;
    while (at < length && prefix[at] != '\0' && byte_matches(text[at], prefix[at]))
        at++;
    return prefix[at] == '\0';
}

static uint64_t first_bytes(const char *text, size_t length)
{
    uint64_t bytes = 0;
    memcpy(&bytes, text, length < sizeof bytes ? length : sizeof bytes);
    return bytes;
}

static bool apply_rules(struct stream *stream, struct line *line)
{
    const struct phase *phase = stream->run;
    unsigned char byte = (unsigned char)line->text[0];
    const struct rule_entry *at = phase->rules + phase->rules_from[byte];
    const struct rule_entry *end = phase->rules + phase->rules_from[byte + 1];
    uint64_t bytes = first_bytes(line->text, line->length);
    for (; at < end; at++) {
        if ((bytes & at->mask) != at->value || (line->redrawn && !at->rule->redrawn) ||
            !matches(line->text, line->length, at->rule->prefix))
            continue;
        line->after = line->text + strlen(at->rule->prefix);
        if (at->rule->handle(stream, line, at->rule->argument))
            return true;
    }
    return false;
}

bool phase_knows(const struct phase *phase, const char *text, size_t length)
{
    if (length == 0)
        return false;
    unsigned char byte = (unsigned char)text[0];
    uint64_t bytes = first_bytes(text, length);
    for (size_t at = phase->rules_from[byte]; at < phase->rules_from[byte + 1]; at++) {
        const struct rule_entry *entry = &phase->rules[at];
        if ((bytes & entry->mask) == entry->value && strlen(entry->rule->prefix) > 3 &&
            matches(text, length, entry->rule->prefix))
            return true;
    }
    return false;
}

/* ---- runs, streams, hosts ---- */

static struct stream *stream_new(struct phase *phase)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->run = phase;
    stream->progress = PROGRESS_UNKNOWN;
    stream->meters.bytes_done = stream->meters.bytes_expected = -1;
    stream->errors.entry = -1;
    stream->errors.guess_line = -1;
    stream->builder = stream->in_bar = SIZE_MAX;
    return stream;
}

struct phase *phase_new(const char *label)
{
    struct phase *phase = calloc(1, sizeof *phase);
    if (!phase)
        return NULL;
    phase->stream[0] = stream_new(phase);
    phase->stream_count = 1;
    if (!phase->stream[0] || !index_rules(phase)) {
        phase_free(phase);
        return NULL;
    }
    phase->view.progress = phase->stream[0]->progress;
    phase->view.error_line = phase->now_ms = -1;
    phase->owner = SIZE_MAX;
    phase->view.hosts = phase->hosts;
    if (label) {
        static const char *const switches[] = {"switch",       "boot",     "rebuild",
                                               "dry-activate", "activate", "os"};
        for (size_t at = 0; at < sizeof switches / sizeof switches[0]; at++)
            phase->label_switch |= strcmp(label, switches[at]) == 0;
        phase->label_pull = strcmp(label, "pull") == 0;
    }
    return phase;
}

static void names_free(struct phase_names *names)
{
    for (size_t at = 0; at < names->count; at++)
        free(names->name[at]);
}

static void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    drv_set_free(&stream->believe.drvs);
    free(stream->errors.recent);
    free(stream);
}

void phase_free(struct phase *phase)
{
    if (!phase)
        return;
    trouble_free(phase);
    builds_free(phase);
    names_free(&phase->view.failed);
    names_free(&phase->view.failed_units);
    for (size_t at = 0; at < phase->host_count; at++) {
        names_free(&phase->host[at]->seen.failed_units);
        free(phase->host[at]);
    }
    for (size_t at = 0; at < phase->stream_count; at++)
        stream_free(phase->stream[at]);
    free(phase->rules);
    free(phase);
}

struct host *phase_host(struct phase *phase, const char *name, size_t length)
{
    if (length == 0)
        return NULL;
    if (length >= PHASE_HOST_SIZE)
        length = PHASE_HOST_SIZE - 1;
    for (size_t at = 0; at < phase->host_count; at++) {
        const char *known = phase->host[at]->seen.name;
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return phase->host[at];
    }
    struct host *host = phase->host_count < PHASE_HOSTS_MAX ? calloc(1, sizeof *host) : NULL;
    if (!host)
        return NULL;
    text_copy(host->seen.name, sizeof host->seen.name, name, length);
    phase->hosts[phase->host_count] = &host->seen;
    phase->host[phase->host_count++] = host;
    phase->view.host_count = phase->host_count;
    return host;
}

struct stream *phase_stream(struct phase *phase, const struct stream *parent, const char *key,
                            size_t length, bool host)
{
    if (length >= PHASE_HOST_SIZE)
        length = PHASE_HOST_SIZE - 1;
    for (size_t at = 1; at < phase->stream_count; at++) {
        struct stream *stream = phase->stream[at];
        if (stream->parent == parent && memcmp(stream->key, key, length) == 0 &&
            stream->key[length] == '\0')
            return stream;
    }
    struct stream *stream = phase->stream_count < STREAMS_MAX ? stream_new(phase) : NULL;
    if (!stream)
        return NULL;
    text_copy(stream->key, sizeof stream->key, key, length);
    stream->systemd = strcmp(stream->key, "systemd") == 0;
    stream->parent = parent;
    stream->host = host ? phase_host(phase, key, length) : parent->host;
    phase->stream[phase->stream_count++] = stream;
    return stream;
}

/* ---- text ---- */

bool take_number(const char **at, const char *end, int64_t *value)
{
    const char *start = *at;
    int64_t number = 0;
    while (*at < end && is_digit(**at) && *at - start < 15)
        number = number * 10 + (*(*at)++ - '0');
    *value = number;
    return *at > start;
}

const char *find(const char *text, size_t length, const char *needle)
{
    return memmem(text, length, needle, strlen(needle));
}

/* The length without an incomplete character at the end. */
static size_t whole_utf8(const char *text, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    while (limit > 0 && ((unsigned char)text[limit] & 0xC0) == 0x80)
        limit--;
    return limit;
}

void text_copy(char *out, size_t size, const char *text, size_t length)
{
    length = whole_utf8(text, length, size - 1);
    memcpy(out, text, length);
    out[length] = '\0';
}

bool names_add(struct phase_names *names, const char *text, size_t length)
{
    length = whole_utf8(text, length, PHASE_TEXT_SIZE - 1);
    if (names->count == PHASE_NAMES_MAX || length == 0)
        return false;
    for (size_t at = 0; at < names->count; at++)
        if (strlen(names->name[at]) == length && memcmp(names->name[at], text, length) == 0)
            return false;
    char *name = strndup(text, length);
    if (!name)
        return false;
    names->name[names->count++] = name;
    return true;
}

void phase_unit_failed(struct stream *stream, const char *text, size_t length)
{
    names_add(&stream->run->view.failed_units, text, length);
    if (stream->host)
        names_add(&stream->host->seen.failed_units, text, length);
}

/* ---- phases ---- */

/* The history of one host has every change; that of several hosts has each phase once. */
static void history_add(struct phase *phase, enum phase_id id)
{
    struct phase_view *view = &phase->view;
    size_t from = phase->host_count > 1 || view->history_count == 0 ? 0 : view->history_count - 1;
    for (size_t at = from; at < view->history_count; at++)
        if (view->history[at] == id)
            return;
    if (view->history_count ==
        PHASE_HISTORY_MAX) /* the end of the history matters more than its middle */
        view->history_count--;
    view->history[view->history_count++] = id;
}

void phase_set(struct stream *stream, enum phase_id id)
{
    if (stream->phase != id &&
        (id == PHASE_EVALUATING || id == PHASE_ACTIVATING || id == PHASE_SWITCHING))
        stream->progress.current[0] = '\0'; /* the last build or download has ended */
    stream->phase = id;
    if (stream->host) {
        stream->host->last = stream;
        if (stream->host->replay)
            return;
        stream->host->seen.phase = id;
    }
    stream->run->view.phase = id;
    history_add(stream->run, id);
}

void phase_current(struct stream *stream, const char *text, size_t length)
{
    text_copy(stream->progress.current, sizeof stream->progress.current, text, length);
}

/* ---- lines ---- */

/* Handles a line that does not belong to the lines above it. */
static void begin_anew(struct stream *stream, const struct line *line)
{
    stream->lists.kind = LIST_NONE;
    stream->errors.inside = false;
    stream->meters.bar_last = stream->errors.guess_last = stream->lists.last = false;
    if (line->text[0] != '-')
        stream->errors.open = ERROR_WHOLE;
    if (stream->errors.pending_drv[0])
        nix_flush(stream);
}

static void stream_line(struct stream *stream, struct line *line, bool level)
{
    bool indented = line->text[0] == ' ' || line->text[0] == '\t';
    stream->errors.reported = false;
    if (!line->redrawn) {
        if (!indented)
            begin_anew(stream, line);
        else if (stream->lists.kind != LIST_NONE || stream->errors.inside ||
                 stream->errors.pending_drv[0])
            nix_indented(stream, line);
        if (stream->errors.block != BLOCK_NONE && trouble_block(stream, line))
            return;
    }
    bool known = apply_rules(stream, line);
    if (line->redrawn)
        return;
    if (!stream->errors.reported && line->text[line->length - 1] == '.')
        trouble_command(stream, line, false);
    if (known && !stream->errors.reported)
        trouble_survived(stream, SURVIVED_LINES);
    if (known || stream->errors.reported || (stream->systemd && deploy_systemd(stream, line)))
        return;
    bool builders = build_line(stream, line);
    if (level)
        phase_error(stream, RANK_CONSEQUENCE, line->text, line->length, line->number);
    else if (stream->phase == PHASE_PULLING)
        git_other(stream, line);
    if (!level && !builders && !(indented && stream->errors.inside))
        trouble_remember(stream, line);
}

void phase_line(struct phase *phase, const char *text, size_t size, int64_t number, bool redrawn)
{
    struct line line = {text, size, text, number, redrawn, text, size};
    bool level = false;
    struct stream *stream = front_take(phase, &line, &level);
    if (line.length > 0)
        stream_line(stream, &line, level);
}

void phase_builds(struct phase *phase, int64_t running, int64_t done, int64_t expected,
                  int64_t failed)
{
    meter_set(&phase->stream[0]->meters.builds, running, done, expected, failed);
    builds_counted(phase);
}

void phase_paths(struct phase *phase, int64_t running, int64_t done, int64_t expected)
{
    meter_set(&phase->stream[0]->meters.paths, running, done, expected, 0);
}

void phase_download(struct phase *phase, int64_t done, int64_t expected)
{
    struct meters *meters = &phase->stream[0]->meters;
    meters->bytes_done = done;
    if (expected > meters->bytes_expected)
        meters->bytes_expected = expected;
}

/* ---- the end ---- */

/* Listed items that have no line for their end (legacy builds, copies) count as complete now. */
static void settle(struct stream *stream, bool success)
{
    nix_flush(stream);
    bar_left_behind(stream);
    if (success)
        stream->believe.raw_open = false;
    stream->lists.kind = LIST_NONE;
    if (success)
        stream->phase = PHASE_NONE; /* nothing runs any more, so counts are final */
    nix_progress(stream);
    if (success)
        nix_complete(stream);
    if (stream->progress.building > 0)
        stream->progress.building = 0;
}

static void finish(struct phase *phase, enum phase_outcome outcome)
{
    enum phase_id last = outcome == OUTCOME_SUCCESS   ? PHASE_DONE
                         : outcome == OUTCOME_UNKNOWN ? PHASE_NONE
                                                      : PHASE_FAILED;
    for (size_t at = 0; at < phase->stream_count; at++)
        settle(phase->stream[at], outcome == OUTCOME_SUCCESS);
    progress_sum(phase);
    builds_end(phase, outcome == OUTCOME_SUCCESS);
    phase->view.outcome = outcome;
    phase->view_old = true;
    if (last == PHASE_NONE)
        return;
    phase->view.phase = last;
    history_add(phase, last);
}

void phase_end(struct phase *phase, bool by_signal, int code)
{
    bool switched = phase->view.failed_units.count > 0 || phase->label_switch;
    for (size_t at = 0; at < phase->stream_count; at++) {
        struct stream *stream = phase->stream[at];
        switched |= stream->steps.switched_badly || stream->steps.rebuild;
        nix_flush(stream);
        trouble_at_end(stream);
    }
    if (!by_signal && code == 0)
        finish(phase, OUTCOME_SUCCESS);
    else if (!by_signal && code == 4 && switched)
        finish(phase, OUTCOME_UNITS_FAILED);
    else
        finish(phase, OUTCOME_FAILURE);
}

static bool meter_full(const struct meter *meter)
{
    return meter->known && meter->running == 0 && meter->done > 0 && meter->done == meter->expected;
}

/* Whether internal-json counted everything as done. */
static bool all_counted(const struct meters *meters)
{
    bool built = meter_full(&meters->builds), copied = meter_full(&meters->paths);
    return (built && (copied || meters->paths.expected == 0)) ||
           (copied && (built || meters->builds.expected == 0));
}

/* At least one good sign is needed: an end that the tool itself reports, or a state in which
 * nothing is open. */
static bool looks_complete(const struct stream *stream)
{
    const struct steps *steps = &stream->steps;
    const struct meters *meters = &stream->meters;
    const struct progress *progress = &stream->progress;
    if (meters->bar_last)
        return false;
    if (steps->finished)
        return true;
    if (trouble_open(stream))
        return false;
    if (stream->lists.result_seen || steps->would || steps->pull_ok || steps->update_ok ||
        steps->activated)
        return true;
    if (steps->tests_seen && !steps->tests_bad) /* the number of tests is the planned one */
        return progress->tests_total < 0 || progress->tests_passed >= progress->tests_total;
    if (stream->phase == PHASE_ACTIVATING || stream->phase == PHASE_SWITCHING)
        return false;
    if (meters->bar_seen && !meters->monitor_open && stream->phase != PHASE_EVALUATING)
        return true;
    if (!meters->bar_seen && all_counted(meters))
        return true;
    if (!steps->rebuild && nix_all_started(stream))
        return true;
    return stream->lists.last && stream->lists.left <= 0 && stream->lists.started == 0 &&
           stream->lists.copies == 0; /* a dry run */
}

static bool stream_failed(const struct stream *stream)
{
    return stream->errors.failure || trouble_failed(stream) || stream->steps.switched_badly ||
           stream->steps.tests_bad || stream->meters.builds.failed > 0;
}

/* Whether nothing is open, for each host by the last program that reported for it. */
static bool run_complete(const struct phase *phase)
{
    bool any = false;
    if (phase->all_done)
        return true;
    for (size_t at = 0; at < phase->stream_count; at++) {
        const struct stream *stream = phase->stream[at];
        bool complete = looks_complete(stream);
        if (stream->host && stream->host->last && stream->host->last != stream)
            continue;
        if (stream->phase != PHASE_NONE && !complete)
            return false;
        any |= complete;
    }
    return any;
}

void phase_end_unknown(struct phase *phase)
{
    bool failed = false, hard = false;
    for (size_t at = 0; at < phase->stream_count; at++) {
        struct stream *stream = phase->stream[at];
        nix_flush(stream);
        if (stream->errors.guess_last) /* after a builder's line, nix would have reported the result
                                          of the build */
            phase_error(stream, RANK_GENERAL, stream->errors.guess, strlen(stream->errors.guess),
                        stream->errors.guess_line);
        trouble_at_end(stream);
        failed |= stream_failed(stream);
        hard |= trouble_hard(stream);
    }
    if (failed)
        finish(phase, OUTCOME_FAILURE);
    else if (run_complete(phase))
        finish(phase, OUTCOME_SUCCESS);
    else /* there was no better result of the steps after an error */
        finish(phase, hard || trouble_any(phase) ? OUTCOME_FAILURE : OUTCOME_UNKNOWN);
}

const struct phase_view *phase_view(struct phase *phase)
{
    if (phase->view.outcome == OUTCOME_UNKNOWN) {
        for (size_t at = 0; at < phase->stream_count; at++)
            nix_progress(phase->stream[at]);
        progress_sum(phase);
    }
    if (phase->view_old)
        trouble_view(phase);
    return &phase->view;
}
