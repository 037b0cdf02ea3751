/* nix's errors: which derivations failed, which error is the cause, and what belongs to it. While a
   legacy build is open, a line that looks like one may be a builder's (phase_nix.c). */
#include "phase_internal.h"

static void error_text(struct phase *phase, enum error_rank rank, const struct line *line)
{
    const char *text = line->text, *end = line->text + line->length;
    while (text < end && *text == ' ')
        text++;
    if (begins(text, end, "error: "))
        text += 7;
    phase_error(phase, rank, text, (size_t)(end - text), line->number);
}

/* Of several that were started, others may still run and write. */
static void one_failed(struct phase *phase, uint64_t key)
{
    phase->open_failed++;
    phase->last_failed |= key == phase->last_started;
    if (phase->open_failed >= phase->open_started)
        phase->raw_open = false;
}

/* What all was for cannot be built: nothing runs any more. */
static void dependent_failed(struct phase *phase, uint64_t key)
{
    if (phase->last_listed == 0 || key == phase->last_listed)
        phase->raw_open = false;
}

static void failed_drv(struct phase *phase, const struct store_path *path)
{
    names_add(&phase->view.failed, path->name, path->name_length);
    one_failed(phase, hash_key(path));
    if (phase->view.phase == PHASE_NONE)
        phase_set(phase, PHASE_BUILDING);
}

/* "builder for 'DRV' failed with …" at text. */
static bool builder_failed(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (phase->units_block || !take_quoted_path(line->text + skip, end, &path) || !path.drv ||
        !begins(path.after, end, " failed") || !known_drv(phase, &path))
        return false;
    failed_drv(phase, &path);
    error_text(phase, RANK_CAUSE, line);
    phase->in_error = true;
    return true;
}

static bool hash_mismatch(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    if (phase->units_block ||
        !take_quoted_path(line->text + skip, line->text + line->length, &path) ||
        !known_name(phase, &path))
        return false;
    failed_drv(phase, &path);
    error_text(phase, RANK_CAUSE, line);
    phase->in_error = true;
    phase->hash_lines = 2;
    return true;
}

/* "output path ‘…’ has sha256 hash …" (1.x), "fixed-output derivation produced path '…' with …". */
static bool other_hash(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (phase->units_block || !take_quoted_path(line->text + skip, end, &path) ||
        !find(path.after, (size_t)(end - path.after), " hash ") || !known_name(phase, &path))
        return false;
    failed_drv(phase, &path);
    error_text(phase, RANK_CAUSE, line);
    return true;
}

/* "building of 'DRV' timed out after …". */
static bool timed_out(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (phase->units_block || !take_quoted_path(line->text + skip, end, &path) ||
        !begins(path.after, end, " timed out") || !known_drv(phase, &path))
        return false;
    failed_drv(phase, &path);
    error_text(phase, RANK_CAUSE, line);
    return true;
}

/* "error: a 'SYSTEM' with features {…} is required to build 'DRV', but I am a …". */
static bool wrong_system(struct phase *phase, const struct line *line, int argument)
{
    static const char words[] = " is required to build ";
    struct store_path path;
    const char *end = line->text + line->length, *at = find(line->text, line->length, words);
    (void)argument;
    if (phase->units_block || at == NULL || !take_quoted_path(at + sizeof words - 1, end, &path) ||
        !known_drv(phase, &path))
        return false;
    failed_drv(phase, &path);
    error_text(phase, RANK_CAUSE, line);
    return true;
}

/* Newer nix says "Cannot build 'DRV'." of causes and consequences; the reason follows. */
static bool cannot_build(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    if (phase->units_block ||
        !take_quoted_path(line->text + skip, line->text + line->length, &path) || !path.drv ||
        !known_drv(phase, &path))
        return false;
    size_t length = path.name_length < sizeof phase->pending_drv - 1
                        ? path.name_length
                        : sizeof phase->pending_drv - 1;
    memcpy(phase->pending_drv, path.name, length);
    phase->pending_drv[length] = '\0';
    length = line->length < sizeof phase->pending_text - 1 ? line->length
                                                           : sizeof phase->pending_text - 1;
    memcpy(phase->pending_text, line->text, length);
    phase->pending_text[length] = '\0';
    phase->pending_line = line->number;
    phase->pending_key = hash_key(&path);
    phase->in_error = true;
    return true;
}

/* The reason of a pending "Cannot build" (NULL: none came). */
static void pending_resolve(struct phase *phase, bool cause, const char *reason, size_t length)
{
    char text[PHASE_TEXT_SIZE * 2];
    if (phase->pending_drv[0] == '\0')
        return;
    size_t size = strlen(phase->pending_text);
    memcpy(text, phase->pending_text, size);
    if (length > PHASE_TEXT_SIZE - 2)
        length = PHASE_TEXT_SIZE - 2;
    if (length > 0) {
        text[size++] = ' ';
        memcpy(text + size, reason, length);
        size += length;
    }
    const struct line line = {text, size, phase->pending_line, false};
    if (cause) {
        names_add(&phase->view.failed, phase->pending_drv, strlen(phase->pending_drv));
        one_failed(phase, phase->pending_key);
        if (phase->view.phase == PHASE_NONE)
            phase_set(phase, PHASE_BUILDING);
    }
    if (!cause)
        dependent_failed(phase, phase->pending_key);
    error_text(phase, cause ? RANK_CAUSE : RANK_CONSEQUENCE, &line);
    phase->pending_drv[0] = '\0';
}

void nix_flush(struct phase *phase)
{
    pending_resolve(phase, true, NULL, 0);
}

static bool consequence(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    const char *end = line->text + line->length;
    const char *drv = find(line->text, line->length, "derivation ");
    if (phase->units_block)
        return false;
    if (!find(line->text, line->length, "dependenc") && !find(line->text, line->length, "failed"))
        return false;
    bool named = take_quoted_path(drv != NULL ? drv + 11 : line->text + skip, end, &path);
    if (phase->raw_open && !(named && known_drv(phase, &path)))
        return false;
    error_text(phase, RANK_CONSEQUENCE, line);
    if (named && drv != NULL)
        dependent_failed(phase, hash_key(&path));
    else
        phase->raw_open = false;
    phase->in_error = true;
    return true;
}

static bool number_consequence(struct phase *phase, const struct line *line, int skip)
{
    const char *at = line->text + skip, *end = line->text + line->length;
    int64_t count;
    return take_number(&at, end, &count) && begins(at, end, " dependenc") &&
           consequence(phase, line, 0);
}

static bool general_error(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (phase->units_block)
        return false;
    if (phase->raw_open) { /* most likely a compiler's */
        error_text(phase, RANK_TENTATIVE, line);
        phase->error_last = phase->rank == RANK_TENTATIVE;
        return true;
    }
    phase->in_error = true;
    if (phase->view.phase == PHASE_NONE)
        phase_set(phase, PHASE_EVALUATING);
    if (line->length > 7)
        error_text(phase, RANK_GENERAL, line);
    else
        phase->failure = true;
    return true;
}

/* "error:" on a line of its own, then "Failed assertions:" and one line for each. */
static bool error_lines(struct phase *phase, const struct line *line, const char *at, size_t length)
{
    if (phase->error_open == ERROR_WAITS) {
        error_text(phase, RANK_GENERAL, line);
        phase->error_open = ERROR_ITEMS;
        return true;
    }
    if (phase->error_open == ERROR_ITEMS && starts(at, length, "- ")) {
        phase_error_more(phase, at, length);
        return true;
    }
    phase->error_open = length == 6 && starts(at, length, "error:") ? ERROR_WAITS : ERROR_WHOLE;
    return phase->error_open == ERROR_WAITS;
}

/* The same of old versions, which do not indent. */
static bool assertions(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (phase->raw_open || phase->units_block || !phase->failure)
        return false;
    phase->in_error = true;
    phase->error_open = ERROR_WAITS;
    return error_lines(phase, line, line->text, line->length);
}

static bool assertion(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    return phase->error_open == ERROR_ITEMS && error_lines(phase, line, line->text, line->length);
}

void nix_error_indented(struct phase *phase, const struct line *line)
{
    const char *at = line->text, *end = line->text + line->length;
    while (at < end && *at == ' ')
        at++;
    size_t length = (size_t)(end - at);
    if (phase->pending_drv[0] != '\0' && begins(at, end, "Reason: "))
        pending_resolve(phase, find(at, length, "dependenc") == NULL, at, length);
    else if (phase->hash_lines > 0 && (begins(at, end, "specified:") ||
                                       begins(at, end, "wanted:") || begins(at, end, "got:"))) {
        phase->hash_lines--;
        phase_error_more(phase, at, length);
    } else if (phase->in_error && phase->hash_lines == 0 && error_lines(phase, line, at, length)) {
        return;
    } else if (phase->in_error && begins(at, end, "error: ") && phase->hash_lines == 0) {
        error_text(phase, RANK_GENERAL, line);
    }
}

const struct rule nix_error_rules[] = {
    {"error: builder for ", builder_failed, 19, false},
    {"builder for ", builder_failed, 12, false},
    {"error: hash mismatch in fixed-output derivation ", hash_mismatch, 48, false},
    {"hash mismatch in fixed-output derivation ", hash_mismatch, 41, false},
    {"output path ", other_hash, 12, false},
    {"error: output path ", other_hash, 19, false},
    {"fixed-output derivation produced path ", other_hash, 38, false},
    {"error: Cannot build ", cannot_build, 20, false},
    {"building of ", timed_out, 12, false},
    {"error: building of ", timed_out, 19, false},
    {"error: a '", wrong_system, 0, false},
    {"error: Build failed", consequence, 0, false},
    {"error: build of ", consequence, 15, false},
    {"error: build log of ", consequence, 0, false},
    {"error: ", number_consequence, 7, false},
    {"cannot build derivation ", consequence, 0, false},
    {"error: cannot build derivation ", consequence, 0, false},
    {"error: some ", general_error, 0, false},
    {"Failed assertions:", assertions, 0, false},
    {"- ", assertion, 0, false},
    {NULL, NULL, 0, false},
};

/* Last of all tables' error rules: kept apart, since git's errors come before it. */
const struct rule error_rules[] = {
    {"error:", general_error, 0, false},
    {NULL, NULL, 0, false},
};
