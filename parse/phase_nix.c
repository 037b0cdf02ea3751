/* nix's permanent lines: lists, builds, copies. A legacy build mixes them with the output of its
   builders, which may be any text. While such a build is open, only lines that name a derivation of
   this build count as nix's own. */
#include "phase_internal.h"

#define MIB 1048576.0

/* ---- which lines are nix's own ---- */

static bool all_started(const struct stream *stream)
{
    return stream->lists.started >= stream->lists.listed;
}

/* No line says that the last derivation ended well, but nix would have reported a failure. */
bool nix_all_started(const struct stream *stream)
{
    const struct lists *lists = &stream->lists;
    if (lists->kind != LIST_NONE || !all_started(stream))
        return false;
    return stream->phase == PHASE_BUILDING && lists->listed > 0 &&
           stream->believe.last_started == stream->believe.last_listed;
}

bool nix_builder_may_write(const struct stream *stream)
{
    return stream->believe.raw_open;
}

/* Whether the builds are over as far as one can know, so that the next step of a rebuild may
   come. */
bool nix_build_over(const struct stream *stream, bool rebuild)
{
    if (!stream->believe.raw_open)
        return true;
    if (!all_started(stream))
        return false;
    /* others may continue, and nothing is activated after a failure */
    if (stream->believe.open_failed > 0)
        return rebuild;
    if (stream->believe.system_listed)
        return stream->believe.system_started;
    /* a log whose beginning is missing */
    if (stream->lists.listed == 0 && stream->believe.system_last)
        return true;
    if (rebuild && stream->believe.rebuild_started)
        return true;
    return stream->steps.rebuild || stream->run->label_switch;
}

/* ---- lists ---- */

#define SIZE_LIMIT 1e15 /* bytes; a larger number is not a size, and sums stay exact */

static int64_t take_size(const char *at, const char *end)
{
    char number[32];
    size_t length = 0;
    while (at < end && length + 1 < sizeof number && ((*at >= '0' && *at <= '9') || *at == '.'))
        number[length++] = *at++;
    number[length] = '\0';
    if (length == 0)
        return -1;
    double value = 0, scale = 0;
    /* because strtod depends on the locale */
    for (const char *digit = number; *digit != '\0'; digit++) {
        if (*digit == '.') {
            scale = scale == 0 ? 1 : scale;
        } else {
            value = value * 10 + (*digit - '0');
            scale *= 10;
        }
    }
    value /= scale == 0 ? 1 : scale;
    if (at < end && *at == ' ')
        at++;
    double unit = begins(at, end, "KiB")   ? 1024.0
                  : begins(at, end, "MiB") ? MIB
                  : begins(at, end, "GiB") ? MIB * 1024
                  : begins(at, end, "TiB") ? MIB * MIB
                                           : 1.0;
    value *= unit;
    return value < SIZE_LIMIT ? (int64_t)(value + 0.5) : -1;
}

/* "these N derivations will be built:" and similar headers. They count when their first entry has
 * come. */
static bool list_header(struct stream *stream, const struct line *line, int plural)
{
    const char *at = line->after, *end = line->text + line->length;
    int64_t count = plural ? 0 : 1;
    bool counted = !plural;
    if (stream->believe.units_block || (stream->believe.raw_open && !all_started(stream)))
        return false;
    if (plural && take_number(&at, end, &count)) {
        counted = true;
        if (at < end && *at == ' ')
            at++;
    }
    if (begins(at, end, plural ? "derivations will be built:" : "derivation will be built:")) {
        stream->lists.kind = LIST_BUILD;
        stream->lists.bytes = -1;
    } else if (begins(at, end, plural ? "paths will be fetched" : "path will be fetched")) {
        const char *open = memchr(at, '(', (size_t)(end - at));
        stream->lists.kind = LIST_FETCH;
        stream->lists.bytes = open ? take_size(open + 1, end) : -1;
    } else {
        return false;
    }
    stream->lists.counted = counted;
    stream->lists.confirmed = false;
    stream->lists.announced = stream->lists.left = count;
    return true;
}

static void list_confirm(struct stream *stream)
{
    if (stream->lists.confirmed)
        return;
    stream->lists.confirmed = true;
    stream->lists.last = true;
    stream->believe.raw_open = false; /* a line of nix itself, so what ran before has ended */
    stream->lists.result_seen = false;
    int64_t *total =
        stream->lists.kind == LIST_BUILD ? &stream->lists.listed : &stream->lists.copies_listed;
    *total += stream->lists.announced;
    stream->lists.copies_known |= stream->lists.kind == LIST_FETCH;
    trouble_survived(stream, SURVIVED_CALL);
    if (stream->lists.kind == LIST_FETCH && stream->lists.bytes >= 0)
        stream->meters.bytes_expected =
            (stream->meters.bytes_expected < 0 ? 0 : stream->meters.bytes_expected) +
            stream->lists.bytes;
}

static bool system_name(const struct store_path *path)
{
    return starts(path->name, path->name_length, "nixos-system-") ||
           starts(path->name, path->name_length, "darwin-system-") ||
           starts(path->name, path->name_length, "home-manager-generation");
}

static void list_entry(struct stream *stream, const struct line *line)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (line->length < 3 || line->text[1] != ' ' || !take_path(line->text + 2, end, &path) ||
        path.after != end || path.drv != (stream->lists.kind == LIST_BUILD)) {
        stream->lists.kind = LIST_NONE;
        return;
    }
    list_confirm(stream);
    stream->lists.left--;
    if (!stream->lists.counted)
        ++*(stream->lists.kind == LIST_BUILD ? &stream->lists.listed
                                             : &stream->lists.copies_listed);
    unsigned before = drv_mark(stream, hash_key(&path), DRV_LISTED);
    if (stream->lists.kind == LIST_FETCH)
        return;
    drv_mark(stream, name_key(&path), DRV_LISTED);
    build_listed(stream, &path);
    stream->believe.last_listed = hash_key(&path);
    if ((before & DRV_LISTED) && stream->lists.listed > 0)
        stream->lists.listed--; /* the same list again: nothing more to build */
    if (system_name(&path)) {
        stream->believe.system_listed = true;
        stream->believe.system_started = false;
    }
}

/* ---- builds and copies ---- */

static bool building(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    const char *end = line->text + line->length;
    if (!take_quoted_path(line->after, end, &path) || stream->believe.units_block)
        return false;
    if (path.drv && stream->believe.raw_open && stream->lists.listed > 0 &&
        !known_drv(stream, &path))
        return false;
    if (!(drv_mark(stream, hash_key(&path), DRV_STARTED) & DRV_STARTED))
        stream->lists.started++;
    drv_mark(stream, name_key(&path), DRV_STARTED);
    if (!stream->believe.raw_open) {
        trouble_survived(stream, SURVIVED_CALL);
        stream->believe.open_started = stream->believe.open_failed = 0;
        stream->believe.kept_going = false;
    }
    stream->believe.kept_going |= stream->believe.open_failed > 0;
    stream->believe.open_started++;
    stream->believe.last_started = hash_key(&path);
    stream->believe.last_failed = false;
    stream->believe.remote |= begins(path.after, end, " on ");
    stream->believe.raw_open = true;
    stream->lists.result_seen = false;
    stream->believe.system_last = system_name(&path);
    stream->believe.system_started |= stream->believe.system_last;
    stream->believe.rebuild_started = starts(path.name, path.name_length, "nixos-rebuild") ||
                                      starts(path.name, path.name_length, "nix-");
    phase_set(stream, PHASE_BUILDING);
    phase_current(stream, path.name, path.name_length);
    build_started(stream, &path, line);
    return true;
}

/* " to 'ssh://host'": nix copy reports an upload. */
static bool to_elsewhere(const char *at, const char *end)
{
    return begins(at, end, " to '") && find(at, (size_t)(end - at), "://");
}

static bool copying(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    if (stream->believe.units_block ||
        !take_quoted_path(line->after, line->text + line->length, &path))
        return false;
    if (!begins(path.after, line->text + line->length, " from ") &&
        !begins(path.after, line->text + line->length, " to "))
        return false;
    bool known = drv_flags(stream, hash_key(&path)) != 0 ||
                 (all_started(stream) && to_elsewhere(path.after, line->text + line->length));
    if (stream->believe.drvs.count > 0 && !known && !stream->believe.remote &&
        !stream->lists.result_seen && !nix_build_over(stream, false))
        return false;
    /* The system that was built last goes to its host: no builder may still write. */
    if (stream->believe.system_last && all_started(stream) && system_name(&path) &&
        to_elsewhere(path.after, line->text + line->length))
        stream->believe.raw_open = false;
    /* Remote builders cause more copies than were announced. */
    if (stream->lists.copies_listed == 0 || begins(path.after, line->text + line->length, " to ") ||
        known)
        stream->lists.copies++;
    phase_set(stream, PHASE_FETCHING);
    phase_current(stream, path.name, path.name_length);
    if (begins(path.after, line->text + line->length, " from "))
        build_fetched(stream, &path);
    return true;
}

/* "fetching path ‘…’..." (1.x) */
static bool fetching_path(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    struct store_path path;
    if (stream->believe.units_block ||
        !take_quoted_path(line->after, line->text + line->length, &path) ||
        !known_drv(stream, &path))
        return false;
    stream->lists.copies++;
    phase_set(stream, PHASE_FETCHING);
    phase_current(stream, path.name, path.name_length);
    build_fetched(stream, &path);
    return true;
}

static bool copying_paths(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->after;
    int64_t count;
    if (!nix_build_over(stream, false) || !take_number(&at, line->text + line->length, &count) ||
        !begins(at, line->text + line->length, " path"))
        return false;
    stream->lists.copies_listed += count;
    stream->lists.copies_known = true;
    phase_set(stream, PHASE_FETCHING);
    return true;
}

static bool downloading(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->believe.raw_open || !ends(line->text, line->length, "..."))
        return false;
    phase_set(stream, stream->phase == PHASE_NONE ? PHASE_EVALUATING : stream->phase);
    return true;
}

static bool evaluating(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (stream->believe.raw_open || stream->believe.units_block || stream->phase > PHASE_BUILDING)
        return false;
    if (stream->phase == PHASE_NONE)
        phase_set(stream, PHASE_EVALUATING);
    return true;
}

/* "unpacking channels...": nix-channel downloads and unpacks them. */
static bool channels(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (stream->believe.raw_open || stream->believe.units_block)
        return false;
    if (stream->phase == PHASE_NONE)
        phase_set(stream, PHASE_FETCHING);
    return true;
}

static bool result(struct stream *stream, const struct line *line, int argument)
{
    struct store_path path;
    (void)argument;
    if (!take_path(line->text, line->text + line->length, &path) || path.drv ||
        path.after != line->text + line->length)
        return false;
    if (!stream->believe.raw_open || all_started(stream))
        stream->lists.result_seen = true;
    return true;
}

/* nix-env ends by building a user environment, which has no line of its own. */
static bool environment_made(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!stream->believe.raw_open || !all_started(stream) ||
        !ends(line->text, line->length, " symlinks in user environment"))
        return false;
    stream->lists.result_seen |= strcmp(stream->progress.current, "user-environment") == 0;
    return true;
}

static bool checks_passed(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    stream->lists.result_seen |= !stream->believe.raw_open && !stream->believe.units_block;
    return true;
}

/* An indented line belongs to the list or error above it. */
void nix_indented(struct stream *stream, const struct line *line)
{
    if (stream->lists.kind != LIST_NONE)
        list_entry(stream, line);
    else
        nix_error_indented(stream, line);
}

/* ---- updates ---- */

static bool lock_file(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (stream->believe.raw_open)
        return false;
    phase_set(stream, PHASE_UPDATING);
    stream->steps.update_ok = true;
    return true;
}

const struct rule nix_rules[] = {
    {"these ", list_header, 1, false},
    {"this ", list_header, 0, false},
    {"building ", building, 0, false},
    {"building path(s) ", building, 0, false},
    {"copying path ", copying, 0, false},
    {"copying ", copying_paths, 0, false},
    {"downloading '", downloading, 0, false},
    {"fetching path ", fetching_path, 0, false},
    {"fetching ", downloading, 0, false},
    {"unpacking '", evaluating, 0, false},
    {"unpacking channels...", channels, 0, false},
    {"/", result, 0, false},
    {"warning: Git tree '", evaluating, 0, false},
    {"trace: ", evaluating, 0, false},
    {"evaluation warning: ", evaluating, 0, false},
    {"evaluating file '", evaluating, 0, false},
    {"evaluating derivation '", evaluating, 0, false},
    {"evaluating flake...", evaluating, 0, false},
    {"checking flake output '", evaluating, 0, false},
    {"checking derivation ", evaluating, 0, false},
    {"checking NixOS configuration '", evaluating, 0, false},
    {"all checks passed!", checks_passed, 0, false},
    {"created ", environment_made, 0, false},
    {"warning: updating lock file ", lock_file, 0, false},
    {"warning: creating lock file ", lock_file, 0, false},
    {"* Updated '", lock_file, 0, false},
    {"* Added '", lock_file, 0, false},
    {"\xE2\x80\xA2 Updated input '", lock_file, 0, false},
    {"\xE2\x80\xA2 Added input '", lock_file, 0, false},
    {"\xE2\x80\xA2 Removed input '", lock_file, 0, false},
    {NULL, NULL, 0, false},
};
