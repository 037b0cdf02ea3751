/* Text that is redrawn in place: nix's progress bar and the status line of nix-output-monitor. A
 * permanent line is never a bar. */
#include "phase_internal.h"

/* One part of the status, "R/D/E built (F failed)", from at to end. */
struct part {
    double number[3];
    int count;
    const char *word, *end;
};

static double take_decimal(const char **at, const char *end)
{
    double value = 0, scale = 1;
    int digits = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && digits < 15; ++*at, digits++)
        value = value * 10 + (**at - '0');
    if (*at < end && **at == '.')
        for (++*at; *at < end && **at >= '0' && **at <= '9' && digits < 15; ++*at, digits++)
            value += (**at - '0') * (scale /= 10);
    return value;
}

static bool take_part(const char *at, const char *end, struct part *part)
{
    part->count = 0;
    while (at < end && *at >= '0' && *at <= '9' && part->count < 3) {
        part->number[part->count++] = take_decimal(&at, end);
        if (at < end && *at == '/')
            at++;
    }
    if (part->count == 0 || at == end || *at != ' ')
        return false;
    part->word = at + 1;
    part->end = end;
    return true;
}

static bool part_is(const struct part *part, const char *word)
{
    size_t length = strlen(word);
    return starts(part->word, (size_t)(part->end - part->word), word) &&
           (part->word + length == part->end || part->word[length] == ' ');
}

/* Reads R/D/E, D/E or D in front of a word into a meter. */
static void meter_part(struct meter *meter, const struct part *part)
{
    int64_t running = 0, done, expected, failed = 0;
    const double *number = part->number;
    if (part->count == 3)
        running = (int64_t)*number++;
    done = (int64_t)number[0];
    expected = part->count > 1 ? (int64_t)number[1] : done;
    if (expected < done) /* "R/D": the expected number is not known yet */
        return;
    const char *open = memchr(part->word, '(', (size_t)(part->end - part->word));
    if (open) {
        const char *at = open + 1;
        if (!take_number(&at, part->end, &failed) ||
            !starts(at, (size_t)(part->end - at), " failed"))
            failed = 0;
    }
    meter_set(meter, running, done, expected, failed);
}

static double unit(const char *at, const char *end)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = 1;
    for (size_t k = 0; k < sizeof units / sizeof units[0]; k++, value *= 1024)
        if (starts(at, (size_t)(end - at), units[k]))
            return value;
    return 0;
}

static void bytes_set(struct stream *stream, double done, double expected, double scale)
{
    if (scale <= 0 || done > 1e9 || expected > 1e9)
        return;
    int64_t bytes = (int64_t)(done * scale), total = (int64_t)(expected * scale);
    if (bytes > stream->meters.bytes_done)
        stream->meters.bytes_done = bytes;
    if (total > stream->meters.bytes_expected)
        stream->meters.bytes_expected = total;
}

/* "D/E MiB DL", or "D KiB/E MiB DL" with two units. */
static void downloaded(struct stream *stream, const struct part *part)
{
    double done = part->number[0], scale = unit(part->word, part->end);
    const char *slash = memchr(part->word, '/', (size_t)(part->end - part->word));
    if (part->count == 2) {
        bytes_set(stream, done, part->number[1], scale);
    } else if (part->count == 1 && !slash) { /* "E DL": all of it */
        bytes_set(stream, done, done, scale);
    } else if (part->count == 1) {
        const char *at = slash + 1;
        double expected = take_decimal(&at, part->end);
        double larger = at < part->end && *at == ' ' ? unit(at + 1, part->end) : 0;
        if (larger > 0)
            bytes_set(stream, done * scale / larger, expected, larger);
    }
}

static void status_part(struct stream *stream, const char *at, const char *end)
{
    struct part part;
    if (!take_part(at, end, &part))
        return;
    if (part_is(&part, "built")) {
        meter_part(&stream->meters.builds, &part);
    } else if (part_is(&part, "copied")) {
        meter_part(&stream->meters.paths, &part);
    } else if (part.count > 0 && ends(part.word, (size_t)(part.end - part.word), " DL")) {
        downloaded(stream, &part);
    }
}

/* "fetching git input '…'", "copying '/etc/nixos' to the store": sources, not results. */
static bool for_evaluation(const char *at, size_t length)
{
    if (starts(at, length, "copying '"))
        return true;
    return starts(at, length, "fetching ") && find(at, length, " input '");
}

/* Sets the name of what is built or fetched: a word, or the name in a store path. */
static void current(struct stream *stream, enum phase_id id, const char *name, const char *end)
{
    if (starts(name, (size_t)(end - name), "path '"))
        name += 6;
    const char *stop = name;
    while (stop < end && *stop != ' ' && *stop != ':' && *stop != '\'')
        stop++;
    const char *base = stop;
    while (base > name && base[-1] != '/')
        base--;
    if (base > name && stop - base > 33 && base[32] == '-')
        name = base + 33;
    phase_current(stream, name, (size_t)(stop - name));
    if (id == PHASE_BUILDING)
        build_in_bar(stream, name, (size_t)(stop - name));
}

static void activity(struct stream *stream, const char *at, const char *end)
{
    static const struct {
        const char *word;
        enum phase_id id;
    } words[] = {{"building ", PHASE_BUILDING},   {"evaluating ", PHASE_EVALUATING},
                 {"checking ", PHASE_EVALUATING}, {"copying ", PHASE_FETCHING},
                 {"querying ", PHASE_FETCHING},   {"fetching ", PHASE_FETCHING}};
    size_t length = (size_t)(end - at);
    /* this comes before builds and before downloads */
    if (starts(at, length, "querying info about "))
        return;
    if (for_evaluation(at, length)) {
        phase_set(stream, PHASE_EVALUATING);
        return;
    }
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
        if (!starts(at, length, words[k].word))
            continue;
        phase_set(stream, words[k].id);
        if (words[k].id != PHASE_EVALUATING)
            current(stream, words[k].id, at + strlen(words[k].word), end);
        return;
    }
    if (starts(at, length, "downloading '"))
        phase_set(stream, stream->phase == PHASE_NONE ? PHASE_EVALUATING : PHASE_FETCHING);
}

/* The multi-line display of Lix has the status on a line of its own, "[1/2/9 built, …]", and moves
 * up to it to draw it again. */
static bool is_status_line(const char *at, const char *close, const char *end)
{
    struct part part;
    return close && close + 1 == end && take_part(at, close, &part) && part.count == 3 &&
           starts(part.word, (size_t)(close - part.word), "built");
}

/* "[STATUS] ACTIVITY", cut anywhere by the width of the window. */
static bool bar(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->text + 1, *end = line->text + line->length;
    if (stream->believe.units_block || (stream->believe.raw_open && !stream->meters.bar_seen) ||
        at == end)
        return false;
    const char *close = memchr(at, ']', (size_t)(end - at)), *stop = close ? close : end;
    if (*at < '0' || *at > '9')
        return false;
    /* not redrawn: the program was killed, or ended without erasing its bar */
    if (!line->redrawn && !is_status_line(at, close, end)) {
        stream->meters.bar_last = stream->meters.bar_seen;
        if (stream->phase == PHASE_NONE && ends(line->text, (size_t)(stop - line->text), " DL"))
            phase_set(stream, PHASE_FETCHING);
        size_t length = line->length < sizeof stream->meters.last_bar
                            ? line->length
                            : sizeof stream->meters.last_bar - 1;
        memcpy(stream->meters.last_bar, line->text, length);
        stream->meters.last_bar[length] = '\0';
        return true;
    }
    const struct meter before = stream->meters.builds;
    while (at < stop) {
        const char *comma = memmem(at, (size_t)(stop - at), ", ", 2);
        if (!comma && !close)
            break; /* cut: the word may be missing */
        status_part(stream, at, comma ? comma : stop);
        at = comma ? comma + 2 : stop;
    }
    stream->meters.bar_seen = true;
    const int64_t ended = stream->meters.builds.done - before.done;
    build_counted(stream, ended, stream->meters.builds.failed - before.failed);
    if (stream->meters.builds.running > 0 && stream->meters.builds.running != before.running)
        phase_set(stream, PHASE_BUILDING);
    if (close && end - close > 2)
        activity(stream, close + 2, end);
    else if (ended > 0 || (stream->phase == PHASE_NONE && stream->meters.builds.worked))
        phase_set(stream, PHASE_BUILDING);
    else if (stream->phase <= PHASE_EVALUATING && stream->meters.paths.running > 0)
        phase_set(stream, PHASE_FETCHING);
    return true;
}

/* Takes the counts of a bar that was not overwritten. */
void bar_left_behind(struct stream *stream)
{
    if (!stream->meters.bar_last)
        return;
    enum phase_id before = stream->phase;
    const struct line line = {.text = stream->meters.last_bar,
                              .length = strlen(stream->meters.last_bar),
                              .redrawn = true};
    if (line.length > 0)
        bar(stream, &line, 0);
    stream->phase = before;
}

/* A bar without a status: "evaluating derivation 'X'", "fetching git input '…'", "copying path
 * '…'". */
static bool bare(struct stream *stream, const struct line *line, int id)
{
    if (!line->redrawn || stream->believe.raw_open || stream->believe.units_block)
        return false;
    stream->meters.bar_seen = true;
    phase_set(stream, (enum phase_id)id);
    return true;
}

/* nix-output-monitor: "┗━ ∑ ⏵ 2 │ ✔ 9 │ ⏸ 0 │ ⚠ 1 │ … 15s". */
static bool monitor(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    static const char *const marks[] = {"\xE2\x8F\xB5", "\xE2\x9C\x94", "\xE2\x8F\xB8",
                                        "\xE2\x9A\xA0"};
    int64_t value[4] = {0, 0, 0, 0};
    const char *end = line->text + line->length;
    const char *sum = find(line->text, line->length, "\xE2\x88\x91");
    bool any = false;
    if (!sum || (stream->believe.raw_open && !stream->meters.bar_seen) ||
        stream->believe.units_block)
        return false;
    const char *loads = find(sum, (size_t)(end - sum), "\xE2\x86\x93"); /* columns of downloads */
    for (int k = 0; k < 4; k++) {
        const char *stop = k == 2 && loads ? loads : end;
        const char *at = find(sum, (size_t)(stop - sum), marks[k]);
        if (!at)
            continue;
        at += 3;
        while (at < end && *at == ' ')
            at++;
        if (starts(at, (size_t)(end - at), "Exited after "))
            at += 13;
        any |= take_number(&at, end, &value[k]);
    }
    if (find(sum, (size_t)(end - sum), " Exited "))
        stream->errors.failure = true;
    stream->meters.monitor_open = !find(sum, (size_t)(end - sum), " Finished ");
    stream->meters.bar_last = !line->redrawn && stream->meters.monitor_open;
    stream->meters.last_bar[0] = '\0';
    stream->meters.bar_seen = true;
    if (!any)
        return true;
    meter_set(&stream->meters.builds, value[0], value[1], value[0] + value[1] + value[2] + value[3],
              value[3]);
    if (value[0] > 0)
        phase_set(stream, PHASE_BUILDING);
    return true;
}

const struct rule bar_rules[] = {
    {"[", bar, 0, true},
    {"evaluating ", bare, PHASE_EVALUATING, true},
    {"fetching git input '", bare, PHASE_EVALUATING, true},
    {"copying '", bare, PHASE_EVALUATING, true},
    {"copying path '", bare, PHASE_FETCHING, true},
    {"\xE2\x94\x97\xE2\x94\x81 ", monitor, 0, true},
    {"\xE2\x94\x83 ", monitor, 0, true},
    {NULL, NULL, 0, false},
};
