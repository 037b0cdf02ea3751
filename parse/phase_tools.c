/* git pull and test scripts. */
#include "phase_internal.h"

static bool may_pull(const struct phase *phase)
{
    return !nix_builder_may_write(phase) && !phase->units_block &&
           (phase->view.phase == PHASE_NONE || phase->view.phase == PHASE_PULLING);
}

static bool pulling(struct phase *phase, const struct line *line, int ok)
{
    (void)line;
    if (!may_pull(phase))
        return false;
    phase_set(phase, PHASE_PULLING);
    phase->pull_ok |= ok != 0;
    return true;
}

static bool hex(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* "Updating 742e933..b590c10" in any language: a word and two short commits. */
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

static bool updating(struct phase *phase, const struct line *line, int skip)
{
    return commits(line, (size_t)skip) && pulling(phase, line, 0);
}

/* "   742e933..b590c10  main       -> origin/main" */
static bool fetched_ref(struct phase *phase, const struct line *line, int ok)
{
    return commits(line, 3) && find(line->text, line->length, " -> ") != NULL &&
           pulling(phase, line, ok);
}

static bool pull_failed(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!may_pull(phase))
        return false;
    phase_set(phase, PHASE_PULLING);
    const char *text = line->text;
    size_t length = line->length;
    if (starts(text, length, "error: "))
        text += 7, length -= 7;
    phase_error(phase, RANK_CAUSE, text, length, line->number);
    return true;
}

/* ---- tests ---- */

static bool may_test(const struct phase *phase)
{
    enum phase_id id = phase->view.phase;
    return !nix_builder_may_write(phase) && !phase->units_block &&
           (id == PHASE_NONE || id == PHASE_TESTING || id == PHASE_PULLING);
}

static void count_test(struct phase *phase, bool passed)
{
    struct progress *progress = &phase->view.progress;
    phase_set(phase, PHASE_TESTING);
    phase->tests_seen = true;
    phase->tests_bad |= !passed;
    progress->tests_passed = (progress->tests_passed < 0 ? 0 : progress->tests_passed) + passed;
    if (progress->tests_passed > progress->tests_total && progress->tests_total >= 0)
        progress->tests_total = progress->tests_passed;
}

static bool test_mark(struct phase *phase, const struct line *line, int passed)
{
    (void)line;
    if (!may_test(phase))
        return false;
    if (!passed)
        phase_error(phase, RANK_GENERAL, line->text, line->length, line->number);
    count_test(phase, passed != 0);
    return true;
}

/* TAP: "ok 1 - name", "not ok 2 - name # TODO". */
static bool tap(struct phase *phase, const struct line *line, int passed)
{
    const char *at = line->text + (passed ? 3 : 7), *end = line->text + line->length;
    int64_t number;
    if (!take_number(&at, end, &number) || (at < end && *at != ' ') || !may_test(phase))
        return false;
    if (!passed && find(line->text, line->length, "# TODO") != NULL)
        passed = 1;
    return test_mark(phase, line, passed);
}

/* TAP's plan "1..N", and "N passed, N failed". */
static bool tests_number(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->text, *end = line->text + line->length;
    int64_t first, second;
    if (!may_test(phase) || !take_number(&at, end, &first))
        return false;
    struct progress *progress = &phase->view.progress;
    if (first == 1 && starts(at, (size_t)(end - at), "..")) {
        at += 2;
        if (!take_number(&at, end, &second) || at != end)
            return false;
        phase_set(phase, PHASE_TESTING);
        progress->tests_total = second;
        return true;
    }
    if (!starts(at, (size_t)(end - at), " passed, "))
        return false;
    at += 9;
    if (!take_number(&at, end, &second) || !starts(at, (size_t)(end - at), " failed"))
        return false;
    phase_set(phase, PHASE_TESTING);
    phase->tests_seen = true;
    phase->tests_bad |= second > 0;
    progress->tests_passed = first;
    progress->tests_total = first + second;
    return true;
}

/* "T01-name.sh" */
static bool test_script(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->text + 1, *end = line->text + line->length;
    int64_t number;
    if (!may_test(phase) || !take_number(&at, end, &number) || at == end || *at != '-')
        return false;
    while (at < end && *at != ' ' && *at != ':')
        at++;
    if (!ends(line->text, (size_t)(at - line->text), ".sh"))
        return false;
    phase_set(phase, PHASE_TESTING);
    phase_current(phase, line->text, (size_t)(at - line->text));
    return true;
}

const struct rule tool_rules[] = {
    {"Already up to date.", pulling, 1, true},
    {"Already up-to-date.", pulling, 1, true},
    {"Updating ", updating, 9, false},
    {"Aktualisiere ", updating, 13, false},
    {"Mise \xC3\xA0 jour ", updating, 13, false},
    {"Actualizando ", updating, 13, false},
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
    {"\xE2\x9C\x85", test_mark, 1, false},
    {"\xE2\x9D\x8C", test_mark, 0, false},
    {"ok ", tap, 1, false},
    {"not ok ", tap, 0, false},
    {"T0", test_script, 0, false},
    {"T1", test_script, 0, false},
    {"T2", test_script, 0, false},
    {"T3", test_script, 0, false},
    {"T4", test_script, 0, false},
    {"T5", test_script, 0, false},
    {"T6", test_script, 0, false},
    {"T7", test_script, 0, false},
    {"T8", test_script, 0, false},
    {"T9", test_script, 0, false},
    {"0", tests_number, 0, false},
    {"1", tests_number, 0, false},
    {"2", tests_number, 0, false},
    {"3", tests_number, 0, false},
    {"4", tests_number, 0, false},
    {"5", tests_number, 0, false},
    {"6", tests_number, 0, false},
    {"7", tests_number, 0, false},
    {"8", tests_number, 0, false},
    {"9", tests_number, 0, false},
    {NULL, NULL, 0, false},
};
