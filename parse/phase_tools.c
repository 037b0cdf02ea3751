/* git pull and test scripts. */
#include "phase_internal.h"

static bool may_pull(const struct stream *stream)
{
    return !nix_builder_may_write(stream) && !stream->believe.units_block &&
           (stream->phase == PHASE_NONE || stream->phase == PHASE_PULLING);
}

static bool pulling(struct stream *stream, const struct line *line, int ok)
{
    (void)line;
    if (!may_pull(stream))
        return false;
    phase_set(stream, PHASE_PULLING);
    stream->steps.pull_ok |= ok != 0;
    return true;
}

static bool hex(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* Two short commits at text, "742e933..b590c10" or with three dots. */
static bool commits(const struct line *line, size_t at)
{
    size_t start = at;
    while (at < line->length && hex(line->text[at]))
        at++;
    if (at - start < 4 || at + 2 >= line->length || memcmp(line->text + at, "..", 2) != 0)
        return false;
    at += line->text[at + 2] == '.' ? 3 : 2;
    start = at;
    while (at < line->length && hex(line->text[at]))
        at++;
    return at - start >= 4;
}

static bool updating(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    return commits(line, (size_t)(line->after - line->text)) && pulling(stream, line, 0);
}

/* " a | 2 +-", " b | Bin 0 -> 12 bytes": what a successful pull changed. */
void git_other(struct stream *stream, const struct line *line)
{
    const char *bar = find(line->text, line->length, " | "), *end = line->text + line->length;
    if (line->text[0] != ' ' || !bar || stream->believe.units_block)
        return;
    const char *at = bar + 3;
    while (at < end && *at == ' ')
        at++;
    size_t length = (size_t)(end - at);
    stream->steps.pull_ok |= starts(at, length, "Bin ") || (length > 0 && *at >= '0' && *at <= '9');
}

/* "   742e933..b590c10  main       -> origin/main" */
static bool fetched_ref(struct stream *stream, const struct line *line, int ok)
{
    return commits(line, 3) && find(line->text, line->length, " -> ") && pulling(stream, line, ok);
}

/* "Current branch main is up to date." (rebase) */
static bool branch_current(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    return ends(line->text, line->length, " is up to date.") && pulling(stream, line, 1);
}

static bool pull_failed(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!may_pull(stream))
        return false;
    phase_set(stream, PHASE_PULLING);
    phase_error_line(stream, RANK_CAUSE, line);
    return true;
}

/* The same in words that other programs use, too, so only during a pull. */
static bool pull_failed_within(struct stream *stream, const struct line *line, int argument)
{
    bool known = stream->phase == PHASE_PULLING || stream->run->label_pull;
    return known && pull_failed(stream, line, argument);
}

/* ---- tests ---- */

static bool may_test(const struct stream *stream)
{
    enum phase_id id = stream->phase;
    return !nix_builder_may_write(stream) && !stream->believe.units_block &&
           (id == PHASE_NONE || id == PHASE_TESTING || id == PHASE_PULLING);
}

static void count_test(struct stream *stream, bool passed)
{
    struct progress *progress = &stream->progress;
    phase_set(stream, PHASE_TESTING);
    stream->steps.tests_seen = true;
    stream->steps.tests_bad |= !passed;
    progress->tests_passed = (progress->tests_passed < 0 ? 0 : progress->tests_passed) + passed;
    if (progress->tests_passed > progress->tests_total && progress->tests_total >= 0)
        progress->tests_total = progress->tests_passed;
}

static bool test_mark(struct stream *stream, const struct line *line, int passed)
{
    (void)line;
    if (!may_test(stream))
        return false;
    if (!passed)
        phase_error_line(stream, RANK_GENERAL, line);
    count_test(stream, passed != 0);
    return true;
}

/* TAP: "ok 1 - name", "not ok 2 - name # TODO". */
static bool tap(struct stream *stream, const struct line *line, int passed)
{
    const char *at = line->text + (passed ? 3 : 7), *end = line->text + line->length;
    int64_t number;
    if (!take_number(&at, end, &number) || (at < end && *at != ' ') || !may_test(stream))
        return false;
    if (!passed && find(line->text, line->length, "# TODO"))
        passed = 1;
    return test_mark(stream, line, passed);
}

static bool tests_result(struct stream *stream, int64_t passed, int64_t total, bool bad)
{
    phase_set(stream, PHASE_TESTING);
    stream->steps.tests_seen = true;
    stream->steps.tests_bad |= bad || passed < total;
    stream->progress.tests_passed = passed;
    stream->progress.tests_total = total;
    return true;
}

/* What test programs write behind their counts. "3 failed attempts" is something else. */
static bool ends_summary(const char *at, const char *end)
{
    static const char *const more[] = {".", " in ", " (", " =", "finished in "};
    for (size_t k = 0; k < sizeof more / sizeof more[0]; k++)
        if (starts(at, (size_t)(end - at), more[k]))
            return true;
    return at == end;
}

/* "12 passed, 1 failed", "1 failed, 11 passed, 2 skipped in 0.12s" (pytest), "3 passed; 0 failed; 0
   ignored" (cargo): counts and words; one word must be passed or failed. */
static bool summary(struct stream *stream, const char *at, const char *end)
{
    static const char *const words[] = {" passed",  " failed",   " error",        " skipped",
                                        " ignored", " xfailed",  " xpassed",      " deselected",
                                        " warning", " measured", " filtered out", " rerun"};
    int64_t count, sum[sizeof words / sizeof words[0]] = {0};
    bool telling = false;
    while (take_number(&at, end, &count)) {
        size_t k = 0, left = (size_t)(end - at);
        if (at == end || *at != ' ') /* true for most lines that begin with a number */
            return false;
        while (k < sizeof words / sizeof words[0] && !starts(at, left, words[k]))
            k++;
        if (k == sizeof words / sizeof words[0])
            return false;
        telling |= k <= 1;
        sum[k] += count;
        at += strlen(words[k]);
        if (at < end && *at == 's')
            at++;
        if (at + 1 < end && (*at == ',' || *at == ';') && at[1] == ' ')
            at += 2;
    }
    if (!telling || !ends_summary(at, end))
        return false;
    int64_t bad = sum[1] + sum[2];
    return tests_result(stream, sum[0], sum[0] + bad, bad > 0);
}

/* "==== 1 failed, 2 passed in 0.12s ====" */
static bool tests_closing(struct stream *stream, const struct line *line, int argument)
{
    const char *at = line->text, *end = line->text + line->length;
    (void)argument;
    if (!may_test(stream))
        return false;
    while (at < end && *at == '=')
        at++;
    if (at < end && *at == ' ')
        at++;
    if (starts(at, (size_t)(end - at), "test session starts ")) {
        phase_set(stream, PHASE_TESTING);
        return true;
    }
    return summary(stream, at, end);
}

/* "test result: ok. 3 passed; 0 failed; …" */
static bool tests_cargo(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    return may_test(stream) && summary(stream, line->after, line->text + line->length);
}

static bool tests_begin(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!may_test(stream))
        return false;
    phase_set(stream, PHASE_TESTING);
    return true;
}

static bool bail_out(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->phase != PHASE_TESTING)
        return false;
    stream->steps.tests_bad = true;
    phase_error_line(stream, RANK_CAUSE, line);
    return true;
}

/* TAP's plan "1..N", "P/T passed", and summary lines. */
static bool tests_number(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->text, *end = line->text + line->length;
    int64_t first, second;
    if (!take_number(&at, end, &first) || at == end || !may_test(stream))
        return false;
    if (first == 1 && starts(at, (size_t)(end - at), "..")) {
        at += 2;
        if (!take_number(&at, end, &second) || (at != end && *at != ' '))
            return false;
        phase_set(stream, PHASE_TESTING);
        stream->progress.tests_total = second;
        return true;
    }
    if (at < end && *at == '/') {
        at++;
        if (!take_number(&at, end, &second) || !starts(at, (size_t)(end - at), " pass") ||
            first > second)
            return false;
        return tests_result(stream, first, second, false);
    }
    return summary(stream, line->text, end);
}

/* "T01-name.sh" */
static bool test_script(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->text + 1, *end = line->text + line->length;
    int64_t number;
    if (!may_test(stream) || !take_number(&at, end, &number) || at == end || *at != '-')
        return false;
    while (at < end && *at != ' ' && *at != ':')
        at++;
    if (!ends(line->text, (size_t)(at - line->text), ".sh"))
        return false;
    phase_set(stream, PHASE_TESTING);
    phase_current(stream, line->text, (size_t)(at - line->text));
    if (find(at, (size_t)(end - at), "\xE2\x9C\x85")) /* its result is on the same line */
        return test_mark(stream, line, 1);
    if (find(at, (size_t)(end - at), "\xE2\x9D\x8C"))
        return test_mark(stream, line, 0);
    return true;
}

const struct rule tool_rules[] = {
    {"Already up to date.", pulling, 1, true},
    {"Already up-to-date.", pulling, 1, true},
    {"Bereits aktuell.", pulling, 1, true},
    {"Bereits auf dem neuesten Stand.", pulling, 1, true},
    {"D\xC3\xA9j\xC3\xA0 \xC3\xA0 jour.", pulling, 1, true},
    {"Ya est\xC3\xA1 actualizado.", pulling, 1, true},
    {"Gi\xC3\xA0 aggiornato.", pulling, 1, true},
    {"J\xC3\xA1 est\xC3\xA1 atualizado.", pulling, 1, true},
    {"Current branch ", branch_current, 0, true},
    {"Updating ", updating, 0, false},
    {"Aktualisiere ", updating, 0, false},
    {"Mise \xC3\xA0 jour ", updating, 0, false},
    {"Actualizando ", updating, 0, false},
    {"Fast-forward", pulling, 1, false},
    {"From ", pulling, 0, false},
    {"remote: ", pulling, 0, true},
    {"Receiving objects: ", pulling, 0, true},
    {"Resolving deltas: ", pulling, 0, true},
    {"Unpacking objects: ", pulling, 0, true},
    {"Merge made by the ", pulling, 1, false},
    {"Successfully rebased and updated ", pulling, 1, true},
    {"HEAD is now at ", pulling, 1, false},
    {"   ", fetched_ref, 0, false},
    {"error: Your local changes ", pull_failed, 0, false},
    {"error: The following untracked working tree files ", pull_failed, 0, false},
    {"error: cannot pull ", pull_failed, 0, false},
    {"error: Pulling is not possible ", pull_failed, 0, false},
    {"CONFLICT (", pull_failed, 0, false},
    {"Automatic merge failed", pull_failed, 0, false},
    {"fatal: ", pull_failed, 0, false},
    {"There is no tracking information for the current branch.", pull_failed, 0, false},
    {"You are not currently on a branch.", pull_failed, 0, false},
    {"error: could not apply ", pull_failed, 0, false},
    {"KONFLIKT (", pull_failed, 0, false},
    {"CONFLIT (", pull_failed, 0, false},
    {"CONFLICTO (", pull_failed, 0, false},
    {"CONFLITTO (", pull_failed, 0, false},
    {"Schwerwiegend: ", pull_failed_within, 0, false},
    {"Fehler: ", pull_failed_within, 0, false},
    {"fatal : ", pull_failed_within, 0, false},
    {"erreur : ", pull_failed_within, 0, false},
    {"fatale: ", pull_failed_within, 0, false},
    {"errore: ", pull_failed_within, 0, false},
    {"\xE2\x9C\x85", test_mark, 1, false},
    {"\xE2\x9D\x8C", test_mark, 0, false},
    {"ok ", tap, 1, false},
    {"not ok ", tap, 0, false},
    {"TAP version ", tests_begin, 0, false},
    {"Bail out!", bail_out, 0, false},
    {"==", tests_closing, 0, false},
    {"test result: ok. ", tests_cargo, 0, false},
    {"test result: FAILED. ", tests_cargo, 0, false},
    {"T" DIGIT, test_script, 0, false},
    {DIGIT, tests_number, 0, false},
    {NULL, NULL, 0, false},
};
