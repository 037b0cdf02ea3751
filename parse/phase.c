/* The core of phase: rules are found by a line's first byte, and what they learn becomes the
   view. */
#include "phase_internal.h"

#include <stdlib.h>

static const struct rule *const rule_tables[] = {nix_rules,    nix_error_rules, bar_rules,
                                                 switch_rules, tool_rules,      error_rules};
#define TABLES (sizeof rule_tables / sizeof rule_tables[0])
#define TABLE_SIZE 128 /* rules in one table at most */

const char *phase_name(enum phase_id id)
{
    static const char *const names[] = {"",           "evaluating", "fetching", "building",
                                        "activating", "switching",  "pulling",  "updating",
                                        "testing",    "done",       "failed"};
    return (size_t)id < sizeof names / sizeof names[0] ? names[id] : "";
}

/* Chains the rules by the first byte of their prefix, in the order of the tables. */
static bool index_rules(struct phase *phase)
{
    int16_t last[256];
    phase->next = malloc(TABLES * TABLE_SIZE * sizeof *phase->next);
    if (phase->next == NULL)
        return false;
    for (size_t byte = 0; byte < 256; byte++)
        phase->first[byte] = last[byte] = -1;
    for (size_t table = 0; table < TABLES; table++) {
        for (size_t at = 0; at < TABLE_SIZE && rule_tables[table][at].prefix != NULL; at++) {
            int16_t index = (int16_t)(table * TABLE_SIZE + at);
            unsigned char byte = (unsigned char)rule_tables[table][at].prefix[0];
            if (last[byte] < 0)
                phase->first[byte] = index;
            else
                phase->next[last[byte]] = index;
            phase->next[index] = -1;
            last[byte] = index;
        }
    }
    return true;
}

struct phase *phase_new(const char *label)
{
    struct phase *phase = calloc(1, sizeof *phase);
    if (phase == NULL)
        return NULL;
    if (!index_rules(phase)) {
        free(phase);
        return NULL;
    }
    struct progress *progress = &phase->view.progress;
    *progress = (struct progress){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, ""};
    phase->view.error_line = -1;
    phase->bytes_done = phase->bytes_expected = -1;
    if (label != NULL) {
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

void phase_free(struct phase *phase)
{
    if (phase == NULL)
        return;
    names_free(&phase->view.errors);
    names_free(&phase->view.failed);
    names_free(&phase->view.failed_units);
    drv_set_free(&phase->drvs);
    free(phase->next);
    free(phase);
}

bool take_number(const char **at, const char *end, int64_t *value)
{
    const char *start = *at;
    int64_t number = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *at - start < 15)
        number = number * 10 + (*(*at)++ - '0');
    *value = number;
    return *at > start;
}

const char *find(const char *text, size_t length, const char *needle)
{
    return memmem(text, length, needle, strlen(needle));
}

void phase_set(struct phase *phase, enum phase_id id)
{
    struct phase_view *view = &phase->view;
    if (view->phase != id &&
        (id == PHASE_EVALUATING || id == PHASE_ACTIVATING || id == PHASE_SWITCHING))
        view->progress.current[0] = '\0'; /* what was built or fetched last is no longer */
    view->phase = id;
    if (view->history_count > 0 && view->history[view->history_count - 1] == id)
        return;
    if (view->history_count ==
        PHASE_HISTORY_MAX) /* the end of the story matters more than its middle */
        view->history_count--;
    view->history[view->history_count++] = id;
}

/* Length without a character that was cut in two at the end. */
static size_t whole_utf8(const char *text, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    while (limit > 0 && ((unsigned char)text[limit] & 0xC0) == 0x80)
        limit--;
    return limit;
}

void phase_current(struct phase *phase, const char *text, size_t length)
{
    char *current = phase->view.progress.current;
    length = whole_utf8(text, length, sizeof phase->view.progress.current - 1);
    memcpy(current, text, length);
    current[length] = '\0';
}

void names_add(struct phase_names *names, const char *text, size_t length)
{
    length = whole_utf8(text, length, PHASE_TEXT_SIZE - 1);
    if (names->count == PHASE_NAMES_MAX || length == 0)
        return;
    for (size_t at = 0; at < names->count; at++)
        if (strlen(names->name[at]) == length && memcmp(names->name[at], text, length) == 0)
            return;
    char *name = strndup(text, length);
    if (name != NULL)
        names->name[names->count++] = name;
}

/* Causes: the first one matters. Others: the last one, since nested errors end with what is
   meant. */
void phase_error(struct phase *phase, enum error_rank rank, const char *text, size_t length,
                 int64_t line)
{
    struct phase_view *view = &phase->view;
    size_t listed = view->errors.count;
    if (rank >= RANK_GENERAL)
        names_add(&view->errors, text, length);
    phase->error_entry = view->errors.count > listed ? (int)listed : -1;
    phase->error_shown = false;
    if (rank > RANK_TENTATIVE)
        phase->failure = true;
    if (rank < phase->rank || (rank == RANK_CAUSE && phase->rank == RANK_CAUSE))
        return;
    phase->rank = rank;
    length = whole_utf8(text, length, sizeof view->error - 1);
    memcpy(view->error, text, length);
    view->error[length] = '\0';
    view->error_line = line;
    phase->error_shown = true;
}

static void extend(char *text, size_t room, const char *more, size_t length)
{
    size_t size = strlen(text);
    if (size + length + 2 > room)
        return;
    text[size++] = ' ';
    memcpy(text + size, more, length);
    text[size + length] = '\0';
}

void phase_error_more(struct phase *phase, const char *text, size_t length)
{
    struct phase_view *view = &phase->view;
    if (phase->error_shown)
        extend(view->error, sizeof view->error, text, length);
    if (phase->error_entry < 0)
        return;
    char **entry = &view->errors.name[phase->error_entry];
    char longer[sizeof view->error];
    if (strlen(*entry) + 1 > sizeof longer)
        return;
    memcpy(longer, *entry, strlen(*entry) + 1);
    extend(longer, sizeof longer, text, length);
    char *copy = strdup(longer);
    if (copy == NULL)
        return;
    free(*entry);
    *entry = copy;
}

void meter_set(struct meter *meter, int64_t running, int64_t done, int64_t expected, int64_t failed)
{
    if (expected < done)
        expected = done;
    if (meter->known && done < meter->done) { /* the next call counts from 0 */
        meter->base_done += meter->done;
        meter->base_expected += meter->highest;
        meter->base_failed += meter->failed;
        meter->base_final += meter->worked ? meter->expected : 0;
        meter->highest = 0;
        meter->failed = 0;
        meter->worked = false;
    }
    meter->known = true;
    meter->worked |= running > 0 || done > 0;
    meter->running = running;
    meter->done = done;
    meter->expected = expected;
    if (expected > meter->highest)
        meter->highest = expected;
    if (failed > meter->failed)
        meter->failed = failed;
}

/* What can stand before a tool's own words: a byte order mark, the echo of Ctrl-C, a password
   prompt that was answered without an echo. */
static void skip_front(struct line *line)
{
    static const char *const fronts[] = {"\xEF\xBB\xBF", "^C", "[sudo] ", "doas ("};
    for (size_t at = 0; at < sizeof fronts / sizeof fronts[0]; at++) {
        while (starts(line->text, line->length, fronts[at])) {
            const char *rest = line->text + strlen(fronts[at]);
            size_t length = line->length - strlen(fronts[at]);
            if (at >= 2) { /* a prompt in any language, up to its colon */
                const char *colon = find(rest, length, ": ");
                if (colon == NULL)
                    return;
                length -= (size_t)(colon + 2 - rest);
                rest = colon + 2;
            }
            line->text = rest;
            line->length = length;
        }
    }
}

/* What starts() says, for prefixes that are not known when this is compiled: most lines differ from
   them within a few bytes. */
static bool matches(const struct line *line, const char *prefix)
{
    size_t at = 0;
    while (at < line->length && prefix[at] != '\0' && line->text[at] == prefix[at])
        at++;
    return prefix[at] == '\0';
}

void phase_line(struct phase *phase, const char *all, size_t size, int64_t number, bool redrawn)
{
    struct line line = {all, size, number, redrawn};
    if (size > 0 && (all[0] == '\xEF' || all[0] == '^' || all[0] == '[' || all[0] == 'd'))
        skip_front(&line);
    if (line.length == 0)
        return;
    unsigned char byte = (unsigned char)line.text[0];
    if (byte == ' ' || byte == '\t') {
        if (!redrawn && (phase->list != LIST_NONE || phase->in_error || phase->pending_drv[0]))
            nix_indented(phase, &line);
    } else if (!redrawn) {
        phase->list = LIST_NONE;
        phase->in_error = false;
        phase->bar_last = phase->error_last = phase->list_since_build = false;
        if (byte != '-')
            phase->error_open = ERROR_WHOLE;
        if (phase->pending_drv[0])
            nix_flush(phase);
    }
    for (int16_t at = phase->first[byte]; at >= 0; at = phase->next[at]) {
        const struct rule *rule = &rule_tables[at / TABLE_SIZE][at % TABLE_SIZE];
        if (redrawn && !rule->redrawn)
            continue;
        if (matches(&line, rule->prefix) && rule->handle(phase, &line, rule->argument))
            return;
    }
    if (phase->view.phase == PHASE_PULLING && !redrawn)
        git_other(phase, &line);
}

/* What was listed but has no line of its own at its end (legacy builds, copies) is complete now. */
static void settle(struct phase *phase, bool success)
{
    nix_flush(phase);
    bar_left_behind(phase);
    if (success)
        phase->raw_open = false;
    phase->list = LIST_NONE;
    if (success)
        phase->view.phase = PHASE_NONE; /* nothing runs any more: counts are final */
    nix_progress(phase);
    if (success)
        nix_complete(phase);
    if (phase->view.progress.building > 0)
        phase->view.progress.building = 0;
}

static void finish(struct phase *phase, enum phase_outcome outcome)
{
    enum phase_id before = phase->view.phase;
    settle(phase, outcome == OUTCOME_SUCCESS);
    phase->view.outcome = outcome;
    phase->view.phase = before;
    if (outcome == OUTCOME_SUCCESS)
        phase_set(phase, PHASE_DONE);
    else if (outcome != OUTCOME_UNKNOWN)
        phase_set(phase, PHASE_FAILED);
}

void phase_end(struct phase *phase, bool by_signal, int code)
{
    bool switched = phase->view.failed_units.count > 0 || phase->switched_badly;
    if (!by_signal && code == 0)
        finish(phase, OUTCOME_SUCCESS);
    else if (!by_signal && code == 4 && (switched || phase->label_switch || phase->rebuild))
        finish(phase, OUTCOME_UNITS_FAILED);
    else
        finish(phase, OUTCOME_FAILURE);
}

/* Good signs, of which one must be there: an end that the tool itself reports, or one that leaves
 * nothing open. */
static bool looks_complete(const struct phase *phase)
{
    if (phase->bar_last)
        return false;
    if (phase->finished || phase->result_seen || phase->would || phase->pull_ok || phase->update_ok)
        return true;
    const struct progress *progress = &phase->view.progress;
    if (phase->activated)
        return true;
    if (phase->tests_seen && !phase->tests_bad) /* and as many as were planned */
        return progress->tests_total < 0 || progress->tests_passed >= progress->tests_total;
    if (phase->bar_seen && !phase->monitor_open && phase->view.phase != PHASE_EVALUATING)
        return true;
    if (phase->builds.known && !phase->bar_seen && phase->builds.running == 0 &&
        phase->builds.done > 0 && phase->builds.done == phase->builds.expected)
        return true; /* internal-json counted everything as done */
    return phase->list_since_build && phase->list_left <= 0 && phase->started == 0 &&
           phase->copies == 0; /* a dry run */
}

void phase_end_unknown(struct phase *phase)
{
    nix_flush(phase);
    if (phase->error_last) /* after a builder's, nix would have said what became of it */
        phase_error(phase, RANK_GENERAL, phase->view.error, strlen(phase->view.error),
                    phase->view.error_line);
    if (phase->failure || phase->switched_badly || phase->tests_bad || phase->builds.failed > 0)
        finish(phase, OUTCOME_FAILURE);
    else if (looks_complete(phase))
        finish(phase, OUTCOME_SUCCESS);
    else
        finish(phase, OUTCOME_UNKNOWN);
}

const struct phase_view *phase_view(struct phase *phase)
{
    if (phase->view.outcome == OUTCOME_UNKNOWN)
        nix_progress(phase);
    return &phase->view;
}

void phase_builds(struct phase *phase, int64_t running, int64_t done, int64_t expected,
                  int64_t failed)
{
    meter_set(&phase->builds, running, done, expected, failed);
}

void phase_paths(struct phase *phase, int64_t running, int64_t done, int64_t expected)
{
    meter_set(&phase->paths, running, done, expected, 0);
}

void phase_download(struct phase *phase, int64_t done, int64_t expected)
{
    phase->bytes_done = done;
    if (expected > phase->bytes_expected)
        phase->bytes_expected = expected;
}
