/* Errors: which were seen, which of them the command survived, which one caused the failure. Also
   the forms in which programs other than nix report errors: "Error:" of Rust programs with causes,
   Python's traceback, perl's "Died at", a line that only looks like an error. */
#include "phase_internal.h"

#include <stdlib.h>

#define SUSPECTS_AT_ONCE 4

/* ---- the list ---- */

static bool in_switch(enum phase_id id)
{
    return id == PHASE_ACTIVATING || id == PHASE_SWITCHING;
}

static int trouble_find(const struct phase *phase, const char *text, size_t length)
{
    for (size_t at = 0; at < phase->trouble_count; at++)
        if (strlen(phase->trouble[at].text) == length &&
            memcmp(phase->trouble[at].text, text, length) == 0)
            return (int)at;
    return -1;
}

/* Finds a place in the list. In a full list, the last error of a lower rank is dropped. */
static int trouble_place(struct phase *phase, enum error_rank rank)
{
    if (phase->trouble_count < PHASE_ERRORS_MAX)
        return (int)phase->trouble_count++;
    for (size_t at = phase->trouble_count; at-- > 0;) {
        if (phase->trouble[at].rank >= rank)
            continue;
        free(phase->trouble[at].text);
        for (size_t k = 0; k < phase->stream_count; k++)
            if (phase->stream[k]->errors.entry == (int)at)
                phase->stream[k]->errors.entry = -1;
        return (int)at;
    }
    return -1;
}

/* Returns the index in the list; -1 if there is no place. */
static int trouble_add(struct stream *stream, const struct trouble *new, size_t length)
{
    struct phase *phase = stream->run;
    char text[PHASE_TEXT_SIZE];
    text_copy(text, sizeof text, new->text, length);
    phase->view_old = true;
    int at = trouble_find(phase, text, strlen(text));
    if (at >= 0) {
        struct trouble *known = &phase->trouble[at];
        known->survived &= new->survived;
        known->rank = new->rank > known->rank ? new->rank : known->rank;
        return at;
    }
    char *copy = strdup(text);
    at = copy ? trouble_place(phase, new->rank) : -1;
    if (at < 0) {
        free(copy);
        return -1;
    }
    phase->trouble[at] = *new;
    phase->trouble[at].text = copy;
    phase->trouble[at].during = stream->phase;
    phase->trouble[at].stream = stream;
    return at;
}

void trouble_free(struct phase *phase)
{
    for (size_t at = 0; at < phase->trouble_count; at++)
        free(phase->trouble[at].text);
}

/* ---- lines that look like errors ---- */

/* Words after which a program does not continue. */
static const char *const hard_words[] = {
    "No space left on device",
    "annot execute",
    "Exec format error",
    "Segmentation fault",
    "core dumped",
    "panicked at",
    "Out of memory",
    "Cannot allocate memory",
    "command not found",
    " has failed!",
    " Killed ",
    "Assertion `",
    "Bus error",
    "a password is required",
    "incorrect password attempt",
    "a terminal is required",
    "is not in the sudoers file",
    "error while loading shared libraries",
    ": error: unrecognized arguments: ",
    ": error: the following arguments are required: ",
};
static const char *const hard_lines[] = {"Killed", "Aborted", "Killed: 9", "Illegal instruction"};
static const char *const soft_words[] = {
    "rror:",
    "annot ",
    "an't ",
    "ould not ",
    "nable to ",
    "ailed to ",
    " failed:",
    "No such file",
    "ermission denied",
    "not permitted",
    "not found",
    "Input/output error",
    "Read-only file system",
    "resource busy",
    "Connection ",
    "verification failed",
    "incorrect password",
    "not allowed",
    "nvalid ",
    "does not exist",
    "oes not have",
    "efusing to ",
    "borting",
    "imed out",
    "xception",
    "mismatch",
    "(os error ",
    "rejected",
    "unknown ",
    "undefined ",
    "unexpected ",
};
static const char *const soft_starts[] = {"Error", "ERROR", "error",   "fatal",  "FATAL",
                                          "E: ",   "*** ",  "failed ", "Failed "};
static const char *const harmless_starts[] = {
    "warning", "Warning", "WARNING", "evaluation warning", "note:", "hint:", "trace:", "$ ", "# "};

static bool has_word(const char *text, size_t length, const char *const *words, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (find(text, length, words[at]))
            return true;
    return false;
}

static bool has_start(const char *text, size_t length, const char *const *words, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (starts(text, length, words[at]))
            return true;
    return false;
}

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static bool is_hard(const char *text, size_t length)
{
    for (size_t at = 0; at < COUNT(hard_lines); at++)
        if (strlen(hard_lines[at]) == length && memcmp(text, hard_lines[at], length) == 0)
            return true;
    return has_word(text, length, hard_words, COUNT(hard_words)) || ends(text, length, " Killed");
}

static bool looks_wrong(const char *text, size_t length)
{
    while (length > 0 && (*text == ' ' || *text == '\t'))
        text++, length--;
    if (length == 0 || has_start(text, length, harmless_starts, COUNT(harmless_starts)))
        return false;
    return is_hard(text, length) || has_start(text, length, soft_starts, COUNT(soft_starts)) ||
           has_word(text, length, soft_words, COUNT(soft_words));
}

void trouble_remember(struct stream *stream, const struct line *line)
{
    if (stream->believe.raw_open || stream->believe.units_block)
        return;
    if (!stream->errors.recent)
        stream->errors.recent = calloc(1, sizeof *stream->errors.recent);
    struct recent *recent = stream->errors.recent;
    if (!recent)
        return;
    size_t at = recent->count++ % RECENT_MAX;
    size_t length =
        line->length < sizeof recent->at[at].text ? line->length : sizeof recent->at[at].text - 1;
    memcpy(recent->at[at].text, line->text, length);
    recent->at[at].length = length;
    recent->at[at].line = line->number;
}

/* Records remembered lines that look like errors. */
static void suspects_take(struct stream *stream, bool survived)
{
    struct recent *recent = stream->errors.recent;
    if (!recent || recent->count == 0)
        return;
    size_t from = recent->count > RECENT_MAX ? recent->count - RECENT_MAX : 0, taken = 0;
    for (size_t k = from; k < recent->count && taken < SUSPECTS_AT_ONCE; k++) {
        char *text = recent->at[k % RECENT_MAX].text;
        size_t length = recent->at[k % RECENT_MAX].length;
        if (!looks_wrong(text, length))
            continue;
        const struct trouble new = {.text = text,
                                    .line = recent->at[k % RECENT_MAX].line,
                                    .rank = RANK_SUSPECT,
                                    .survived = survived,
                                    .hard = is_hard(text, length)};
        trouble_add(stream, &new, length);
        taken++;
    }
    recent->count = 0;
}

/* ---- recording ---- */

void phase_error(struct stream *stream, enum error_rank rank, const char *text, size_t length,
                 int64_t line)
{
    const struct trouble new = {.text = (char *)text, .line = line, .rank = rank};
    suspects_take(stream, false);
    stream->errors.entry = trouble_add(stream, &new, length);
    stream->errors.reported = true;
}

void phase_error_line(struct stream *stream, enum error_rank rank, const struct line *line)
{
    phase_error(stream, rank, line->text, line->length, line->number);
}

void phase_error_more(struct stream *stream, const char *separator, const char *text, size_t length)
{
    if (stream->errors.entry < 0)
        return;
    char **entry = &stream->run->trouble[stream->errors.entry].text, *longer;
    if (strlen(*entry) + strlen(separator) + length >= PHASE_TEXT_SIZE ||
        asprintf(&longer, "%s%s%.*s", *entry, separator, (int)length, text) < 0)
        return;
    free(*entry);
    *entry = longer;
    stream->run->view_old = true;
    stream->errors.reported = true;
}

void phase_error_nested(struct stream *stream)
{
    if (stream->errors.entry < 0)
        return;
    struct trouble *last = &stream->run->trouble[stream->errors.entry];
    if (last->rank == RANK_GENERAL)
        last->rank = RANK_CONSEQUENCE;
}

void phase_error_guess(struct stream *stream, const char *text, size_t length, int64_t line)
{
    text_copy(stream->errors.guess, sizeof stream->errors.guess, text, length);
    stream->errors.guess_line = line;
    stream->errors.guess_last = true;
    stream->run->view_old = true;
}

bool trouble_blame(struct stream *stream, bool first)
{
    struct phase *phase = stream->run;
    struct trouble *blamed = NULL;
    suspects_take(stream, false);
    for (size_t at = 0; at < phase->trouble_count; at++) {
        struct trouble *one = &phase->trouble[at];
        if (one->stream != stream || one->survived || one->rank != RANK_SUSPECT)
            continue;
        blamed = one;
        if (first)
            break;
    }
    if (blamed)
        blamed->rank = RANK_CAUSE;
    stream->errors.reported = true;
    return blamed;
}

/* ---- survival ---- */

static bool survives(const struct trouble *one, const struct stream *stream, enum survived what)
{
    if (what == SURVIVED_LINES)
        return one->stream == stream && one->rank == RANK_SUSPECT;
    if (one->stream->host != stream->host)
        return false;
    if (what == SURVIVED_ALL)
        return true;
    if (in_switch(one->during))
        return false;
    return what == SURVIVED_BUILD || one->rank == RANK_GENERAL || one->rank == RANK_SUSPECT;
}

void trouble_survived(struct stream *stream, enum survived what)
{
    struct phase *phase = stream->run;
    suspects_take(stream, true);
    for (size_t at = 0; at < phase->trouble_count; at++) {
        struct trouble *one = &phase->trouble[at];
        if (one->survived || !survives(one, stream, what))
            continue;
        one->survived = true;
        phase->view_old = true;
    }
    if (what >= SURVIVED_BUILD)
        stream->errors.failure = false;
}

bool trouble_failed(const struct stream *stream)
{
    for (size_t at = 0; at < stream->run->trouble_count; at++) {
        const struct trouble *one = &stream->run->trouble[at];
        if (one->stream == stream && !one->survived && one->rank != RANK_SUSPECT)
            return true;
    }
    return false;
}

bool trouble_any(const struct phase *phase)
{
    for (size_t at = 0; at < phase->trouble_count; at++)
        if (phase->trouble[at].rank != RANK_SUSPECT)
            return true;
    return false;
}

static bool has_suspect(const struct stream *stream, bool hard)
{
    for (size_t at = 0; at < stream->run->trouble_count; at++) {
        const struct trouble *one = &stream->run->trouble[at];
        if (one->stream == stream && !one->survived && one->rank == RANK_SUSPECT &&
            (one->hard || !hard))
            return true;
    }
    return false;
}

bool trouble_hard(const struct stream *stream)
{
    return has_suspect(stream, true);
}

bool trouble_open(const struct stream *stream)
{
    return has_suspect(stream, false);
}

void trouble_at_end(struct stream *stream)
{
    suspects_take(stream, false);
}

/* ---- the view ---- */

/* How well an error explains a failure. */
static int explains(const struct trouble *one)
{
    if (!one->survived)
        return one->rank == RANK_CAUSE ? 10 : one->rank == RANK_CONSEQUENCE ? 7 : 9;
    if (one->rank == RANK_CONSEQUENCE)
        return 0;
    /* a switch continues after an error, and reports the error at its end */
    if (in_switch(one->during))
        return 8;
    return one->rank == RANK_CAUSE ? 3 : one->rank == RANK_GENERAL ? 2 : 1;
}

static const struct trouble *trouble_best(const struct phase *phase)
{
    const struct trouble *best = NULL;
    for (size_t at = 0; at < phase->trouble_count; at++)
        if (!best || explains(&phase->trouble[at]) > explains(best))
            best = &phase->trouble[at];
    bool over = phase->view.outcome != OUTCOME_UNKNOWN;
    return best && (over || explains(best) >= 7) ? best : NULL;
}

static void view_error(struct phase *phase, const char *text, int64_t line)
{
    text_copy(phase->view.error, sizeof phase->view.error, text, strlen(text));
    phase->view.error_line = line;
}

static bool before(const struct trouble *a, const struct trouble *b)
{
    bool a_last = a->rank == RANK_CONSEQUENCE, b_last = b->rank == RANK_CONSEQUENCE;
    return a_last != b_last ? b_last : a->line < b->line;
}

/* Errors of several lines can end up with the same text as an earlier error. */
static bool is_repeated(const struct phase *phase, size_t at)
{
    for (size_t k = 0; k < at; k++)
        if (strcmp(phase->trouble[k].text, phase->trouble[at].text) == 0)
            return true;
    return false;
}

/* Insertion sort, because there are few errors. */
static void view_list(struct phase *phase, const struct trouble *best)
{
    struct phase_errors *errors = &phase->view.errors;
    const struct trouble *sorted[PHASE_ERRORS_MAX];
    size_t count = 0;
    for (size_t at = 0; at < phase->trouble_count; at++) {
        const struct trouble *one = &phase->trouble[at];
        size_t place = count;
        if ((one->survived && one->rank == RANK_SUSPECT && !one->hard && one != best) ||
            is_repeated(phase, at))
            continue;
        for (; place > 0 && before(one, sorted[place - 1]); place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = one;
        count++;
    }
    for (size_t at = 0; at < count; at++) {
        errors->text[at] = sorted[at]->text;
        errors->line[at] = sorted[at]->line;
    }
    errors->count = count;
}

void trouble_view(struct phase *phase)
{
    const struct trouble *best = trouble_best(phase);
    bool success = phase->view.outcome == OUTCOME_SUCCESS;
    if (success)
        best = NULL;
    view_list(phase, best);
    view_error(phase, "", -1);
    if (best)
        view_error(phase, best->text, best->line);
    for (size_t at = 0; !best && !success && at < phase->stream_count; at++)
        if (phase->stream[at]->errors.guess_line >= 0)
            view_error(phase, phase->stream[at]->errors.guess,
                       phase->stream[at]->errors.guess_line);
    phase->view_old = false;
}

/* ---- errors of several lines ---- */

static bool may_speak(const struct stream *stream)
{
    return !stream->believe.units_block && !nix_builder_may_write(stream);
}

/* A cause in the error of a Rust program: " 0: TEXT", " TEXT". */
static void rust_cause(struct stream *stream, const struct line *line)
{
    const char *at = line->text, *end = line->text + line->length;
    int64_t number;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    const char *text = at;
    if (take_number(&at, end, &number) && begins(at, end, ": "))
        text = at + 2;
    char cause[PHASE_TEXT_SIZE];
    text_copy(cause, sizeof cause, text, (size_t)(end - text));
    if (stream->errors.entry < 0 || cause[0] == '\0')
        return;
    const char *known = stream->run->trouble[stream->errors.entry].text;
    if (!strstr(known, cause)) /* nh prints the same cause twice */
        phase_error_more(stream,
                         ends(known, strlen(known), ": ")  ? ""
                         : ends(known, strlen(known), ":") ? " "
                                                           : ": ",
                         cause, strlen(cause));
}

/* The last line of a traceback: "NAME: TEXT", "module.Name". */
static bool is_exception(const struct line *line)
{
    size_t at = 0;
    while (at < line->length &&
           (line->text[at] == '.' || line->text[at] == '_' || (line->text[at] | 32) >= 'a'))
        at++;
    return at > 2 && (at == line->length || line->text[at] == ':');
}

bool trouble_block(struct stream *stream, const struct line *line)
{
    bool indented = line->text[0] == ' ' || line->text[0] == '\t';
    int block = stream->errors.block;
    if (block == BLOCK_MESSAGE) { /* the message of a panic */
        stream->errors.block = BLOCK_RUST;
        phase_error_more(stream, " ", line->text, line->length);
        return true;
    }
    if (indented) {
        if (block == BLOCK_RUST)
            rust_cause(stream, line);
        stream->errors.reported = true;
        return true;
    }
    if (block == BLOCK_RUST && equals(line, "Caused by:"))
        return true;
    stream->errors.block = BLOCK_NONE;
    if (block != BLOCK_TRACEBACK)
        return false;
    if (starts(line->text, line->length, "During handling of ") ||
        starts(line->text, line->length, "The above exception was "))
        return true;
    if (starts(line->text, line->length, "subprocess.CalledProcessError: Command ") ||
        !is_exception(line))
        return false;
    phase_error_line(stream, RANK_GENERAL, line);
    return true;
}

/* "Error: TEXT", or "Error:" with its causes below. */
static bool rust_error(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!may_speak(stream))
        return false;
    phase_error_line(stream, RANK_SUSPECT, line);
    if (stream->errors.entry >= 0)
        stream->run->trouble[stream->errors.entry].hard = true;
    stream->errors.block = BLOCK_RUST;
    return true;
}

/* "thread 'main' panicked at 'TEXT', FILE:1:2"; newer: "thread 'main' panicked at FILE:1:2:". */
static bool panicked(struct stream *stream, const struct line *line, int argument)
{
    if (!find(line->text, line->length, " panicked at ") || !rust_error(stream, line, argument))
        return false;
    if (ends(line->text, line->length, ":"))
        stream->errors.block = BLOCK_MESSAGE;
    return true;
}

static bool caused_by(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!equals(line, "Caused by:") || !may_speak(stream) || stream->errors.entry < 0)
        return false;
    stream->errors.block = BLOCK_RUST;
    stream->errors.reported = true;
    return true;
}

/* The cause is often in earlier lines. */
static bool traceback(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!may_speak(stream))
        return false;
    trouble_blame(stream, false);
    stream->errors.block = BLOCK_TRACEBACK;
    return true;
}

/* perl: "Died at FILE line N." */
static bool died_at(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!may_speak(stream) || !find(line->text, line->length, " line "))
        return false;
    trouble_blame(stream, false);
    phase_error_line(stream, RANK_GENERAL, line);
    return true;
}

/* systemctl: "Job for UNIT failed because …". */
static bool job_failed(struct stream *stream, const struct line *line, int argument)
{
    const char *at = line->after, *end = line->text + line->length;
    const char *stop = memchr(at, ' ', (size_t)(end - at));
    (void)argument;
    if (!may_speak(stream) || !stop || !begins(stop, end, " failed"))
        return false;
    phase_unit_failed(stream, at, (size_t)(stop - at));
    phase_error_line(stream, RANK_GENERAL, line);
    return true;
}

/* What a CI system says about the command: "Process completed with exit code 1." */
static bool ci_failed(struct stream *stream, const struct line *line, int argument)
{
    const char *at = line->after;
    int64_t code;
    (void)argument;
    if (!take_number(&at, line->text + line->length, &code) || code == 0 ||
        !nix_build_over(stream, false))
        return false;
    stream->believe.units_block = false;
    phase_error_line(stream, RANK_CONSEQUENCE, line);
    return true;
}

/* Sets the phase of a failed command, if no line of the phase was seen. */
static void command_phase(struct stream *stream, const char *text, size_t length)
{
    bool activation = find(text, length, "switch-to-configuration");
    if (activation && !in_switch(stream->phase))
        phase_set(stream, PHASE_ACTIVATING);
    else if (!activation && stream->phase == PHASE_NONE && find(text, length, "nix"))
        phase_set(stream, PHASE_EVALUATING);
}

bool trouble_command(struct stream *stream, const struct line *line, bool whole)
{
    const char *at = find(line->text, line->length, "Command '");
    if (!at || (stream->believe.raw_open && !nix_build_over(stream, false)))
        return false;
    at = whole ? line->text : at;
    size_t length = (size_t)(line->text + line->length - at);
    if (!find(at, length, " died with <Signals.") &&
        !find(at, length, "' returned non-zero exit status "))
        return false;
    stream->believe.units_block = false;
    command_phase(stream, at, length);
    phase_error(stream, find(at, length, " died with ") ? RANK_GENERAL : RANK_CONSEQUENCE, at,
                length, line->number);
    return true;
}

const struct rule trouble_rules[] = {
    {"Error:", rust_error, 0, false},
    {"thread '", panicked, 0, false},
    {"Caused by:", caused_by, 0, false},
    {"Traceback (most recent call last):", traceback, 0, false},
    {"Died at ", died_at, 0, false},
    {"Job for ", job_failed, 0, false},
    {"Process completed with exit code ", ci_failed, 0, false},
    {"ERROR: Job failed: exit code ", ci_failed, 0, false},
    {NULL, NULL, 0, false},
};
