/* nix's errors: which derivations failed, which error is the cause, and which lines belong to it.
   While a legacy build is open, a line that looks like an error may be a builder's
   (phase_nix.c). */
#include "phase_internal.h"

static void error_text(struct stream *stream, enum error_rank rank, const struct line *line)
{
    const char *text = line->text, *end = line->text + line->length;
    while (text < end && *text == ' ')
        text++;
    phase_error(stream, rank, text, (size_t)(end - text), line->number);
}

/* Of several derivations that have started, others may still run and write. */
static void one_failed(struct stream *stream, uint64_t key)
{
    stream->believe.open_failed++;
    stream->believe.last_failed |= key == stream->believe.last_started;
    if (stream->believe.open_failed >= stream->believe.open_started)
        stream->believe.raw_open = false;
}

/* The final derivation cannot be built, so nothing runs any more. */
static void dependent_failed(struct stream *stream, uint64_t key)
{
    if (stream->believe.last_listed == 0 || key == stream->believe.last_listed)
        stream->believe.raw_open = false;
}

static void failed_drv(struct stream *stream, const struct store_path *path)
{
    stream->failed += names_add(&stream->run->view.failed, path->name, path->name_length);
    build_failed(stream, path);
    one_failed(stream, hash_key(path));
    if (stream->phase == PHASE_NONE)
        phase_set(stream, PHASE_BUILDING);
}

/* "builder for 'DRV' failed with …" at text. */
static bool builder_failed(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    const char *end = line->text + line->length;
    if (stream->believe.units_block || !take_quoted_path(line->after, end, &path) || !path.drv ||
        !begins(path.after, end, " failed") || !known_drv(stream, &path))
        return false;
    failed_drv(stream, &path);
    error_text(stream, RANK_CAUSE, line);
    stream->errors.inside = true;
    return true;
}

static bool hash_mismatch(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    if (stream->believe.units_block ||
        !take_quoted_path(line->after, line->text + line->length, &path) ||
        !known_name(stream, &path))
        return false;
    failed_drv(stream, &path);
    error_text(stream, RANK_CAUSE, line);
    stream->errors.inside = true;
    stream->errors.hash_lines = 2;
    return true;
}

/* "output path ‘…’ has sha256 hash …" (1.x), "fixed-output derivation produced path '…' with …". */
static bool other_hash(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    const char *end = line->text + line->length;
    if (stream->believe.units_block || !take_quoted_path(line->after, end, &path) ||
        !find(path.after, (size_t)(end - path.after), " hash ") || !known_name(stream, &path))
        return false;
    failed_drv(stream, &path);
    error_text(stream, RANK_CAUSE, line);
    return true;
}

/* "building of 'DRV' timed out after …". */
static bool timed_out(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    const char *end = line->text + line->length;
    if (stream->believe.units_block || !take_quoted_path(line->after, end, &path) ||
        !begins(path.after, end, " timed out") || !known_drv(stream, &path))
        return false;
    failed_drv(stream, &path);
    error_text(stream, RANK_CAUSE, line);
    return true;
}

/* "error: a 'SYSTEM' with features {…} is required to build 'DRV', but I am a …". */
static bool wrong_system(struct stream *stream, const struct line *line, int argument)
{
    static const char words[] = " is required to build ";
    struct store_path path;
    const char *end = line->text + line->length, *at = find(line->text, line->length, words);
    (void)argument;
    if (stream->believe.units_block || !at ||
        !take_quoted_path(at + sizeof words - 1, end, &path) || !known_drv(stream, &path))
        return false;
    failed_drv(stream, &path);
    error_text(stream, RANK_CAUSE, line);
    return true;
}

/* Newer nix writes "Cannot build 'DRV'." for causes and consequences; the reason follows. */
static bool cannot_build(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    if (stream->believe.units_block ||
        !take_quoted_path(line->after, line->text + line->length, &path) || !path.drv ||
        !known_drv(stream, &path))
        return false;
    size_t length = path.name_length < sizeof stream->errors.pending_drv - 1
                        ? path.name_length
                        : sizeof stream->errors.pending_drv - 1;
    memcpy(stream->errors.pending_drv, path.name, length);
    stream->errors.pending_drv[length] = '\0';
    length = line->length < sizeof stream->errors.pending_text - 1
                 ? line->length
                 : sizeof stream->errors.pending_text - 1;
    memcpy(stream->errors.pending_text, line->text, length);
    stream->errors.pending_text[length] = '\0';
    stream->errors.pending_line = line->number;
    stream->errors.pending_key = hash_key(&path);
    stream->errors.inside = true;
    return true;
}

/* Adds the reason to a pending "Cannot build". reason NULL: no reason came. */
static void pending_resolve(struct stream *stream, bool cause, const char *reason, size_t length)
{
    char text[PHASE_TEXT_SIZE * 2];
    if (stream->errors.pending_drv[0] == '\0')
        return;
    size_t size = strlen(stream->errors.pending_text);
    memcpy(text, stream->errors.pending_text, size);
    if (length > PHASE_TEXT_SIZE - 2)
        length = PHASE_TEXT_SIZE - 2;
    if (length > 0) {
        text[size++] = ' ';
        memcpy(text + size, reason, length);
        size += length;
    }
    const struct line line = {.text = text, .length = size, .number = stream->errors.pending_line};
    if (cause) {
        stream->failed += names_add(&stream->run->view.failed, stream->errors.pending_drv,
                                    strlen(stream->errors.pending_drv));
        build_failed_name(stream, stream->errors.pending_key, stream->errors.pending_drv);
        one_failed(stream, stream->errors.pending_key);
        if (stream->phase == PHASE_NONE)
            phase_set(stream, PHASE_BUILDING);
    }
    if (!cause)
        dependent_failed(stream, stream->errors.pending_key);
    error_text(stream, cause ? RANK_CAUSE : RANK_CONSEQUENCE, &line);
    stream->errors.pending_drv[0] = '\0';
}

void nix_flush(struct stream *stream)
{
    pending_resolve(stream, true, NULL, 0);
}

static bool consequence(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    const char *end = line->text + line->length;
    const char *drv = find(line->text, line->length, "derivation ");
    if (stream->believe.units_block)
        return false;
    if (!find(line->text, line->length, "dependenc") && !find(line->text, line->length, "failed"))
        return false;
    bool named = take_quoted_path(drv ? drv + 11 : line->after, end, &path);
    if (stream->believe.raw_open && !(named && known_drv(stream, &path)))
        return false;
    error_text(stream, RANK_CONSEQUENCE, line);
    if (named && drv)
        dependent_failed(stream, hash_key(&path));
    else
        stream->believe.raw_open = false;
    stream->errors.inside = true;
    return true;
}

static bool number_consequence(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->after, *end = line->text + line->length;
    int64_t count;
    return take_number(&at, end, &count) && begins(at, end, " dependenc") &&
           consequence(stream, line, 0);
}

/* "cannot build on 'ssh://…': error: failed to start SSH connection …": nix then tries another
 * machine, or this one. */
static bool no_machine(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->believe.units_block || stream->believe.raw_open ||
        !find(line->after, line->length - (size_t)(line->after - line->text), "': error: "))
        return false;
    error_text(stream, RANK_GENERAL, line);
    return true;
}

static bool general_error(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->believe.units_block)
        return false;
    if (stream->believe.raw_open) { /* probably an error of a compiler */
        phase_error_guess(stream, line->text, line->length, line->number);
        return true;
    }
    stream->errors.inside = true;
    if (stream->phase == PHASE_NONE)
        phase_set(stream, PHASE_EVALUATING);
    if (line->length > 7)
        error_text(stream, RANK_GENERAL, line);
    else
        stream->errors.failure = true;
    return true;
}

/* "error:" on a line of its own, then "Failed assertions:" and a line for each. */
static bool error_lines(struct stream *stream, const struct line *line, const char *at,
                        size_t length)
{
    if (stream->errors.open == ERROR_WAITS) {
        error_text(stream, RANK_GENERAL, line);
        stream->errors.open = ERROR_ITEMS;
        return true;
    }
    if (stream->errors.open == ERROR_ITEMS && starts(at, length, "- ")) {
        phase_error_more(stream, " ", at, length);
        return true;
    }
    stream->errors.open = length == 6 && starts(at, length, "error:") ? ERROR_WAITS : ERROR_WHOLE;
    return stream->errors.open == ERROR_WAITS;
}

/* The same from old versions, which do not indent. */
static bool assertions(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->believe.raw_open || stream->believe.units_block || !stream->errors.failure)
        return false;
    stream->errors.inside = true;
    stream->errors.open = ERROR_WAITS;
    return error_lines(stream, line, line->text, line->length);
}

static bool assertion(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    return stream->errors.open == ERROR_ITEMS &&
           error_lines(stream, line, line->text, line->length);
}

void nix_error_indented(struct stream *stream, const struct line *line)
{
    const char *at = line->text, *end = line->text + line->length;
    while (at < end && *at == ' ')
        at++;
    size_t length = (size_t)(end - at);
    if (stream->errors.pending_drv[0] != '\0' && begins(at, end, "Reason: "))
        pending_resolve(stream, !find(at, length, "dependenc"), at, length);
    else if (stream->errors.hash_lines > 0 &&
             (begins(at, end, "specified:") || begins(at, end, "wanted:") ||
              begins(at, end, "got:"))) {
        stream->errors.hash_lines--;
        phase_error_more(stream, " ", at, length);
    } else if (stream->errors.inside && stream->errors.hash_lines == 0 &&
               error_lines(stream, line, at, length)) {
        return;
    } else if (stream->errors.inside && begins(at, end, "error: ") &&
               stream->errors.hash_lines == 0) {
        phase_error_nested(stream);
        error_text(stream, RANK_GENERAL, line);
    }
}

const struct rule nix_error_rules[] = {
    {"error: builder for ", builder_failed, 0, false},
    {"builder for ", builder_failed, 0, false},
    {"error: hash mismatch in fixed-output derivation ", hash_mismatch, 0, false},
    {"hash mismatch in fixed-output derivation ", hash_mismatch, 0, false},
    {"output path ", other_hash, 0, false},
    {"error: output path ", other_hash, 0, false},
    {"fixed-output derivation produced path ", other_hash, 0, false},
    {"error: Cannot build ", cannot_build, 0, false},
    {"cannot build on '", no_machine, 0, false},
    {"building of ", timed_out, 0, false},
    {"error: building of ", timed_out, 0, false},
    {"error: a '", wrong_system, 0, false},
    {"error: Build failed", consequence, 0, false},
    {"error: build of ", consequence, 0, false},
    {"error: build log of ", consequence, 0, false},
    {"error: ", number_consequence, 0, false},
    {"cannot build derivation ", consequence, 0, false},
    {"error: cannot build derivation ", consequence, 0, false},
    {"error: some ", general_error, 0, false},
    {"Failed assertions:", assertions, 0, false},
    {"- ", assertion, 0, false},
    {NULL, NULL, 0, false},
};

/* These rules come after all other tables, because errors of git must be tried before them. */
const struct rule error_rules[] = {
    {"error:", general_error, 0, false},
    {NULL, NULL, 0, false},
};
