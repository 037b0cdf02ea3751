/* nix's permanent lines: lists, builds, copies. A legacy build mixes them with its
   builders' own output, which may be any text; while such a build is open, only lines that name a
   derivation of this build are believed. */
#include "phase_internal.h"

#define MIB 1048576.0

/* ---- what may be believed ---- */

static bool all_started(const struct phase *phase)
{
    return phase->started >= phase->listed;
}

bool nix_builder_may_write(const struct phase *phase)
{
    return phase->raw_open;
}

/* The builds are over as far as one can know, and what comes now may be the next step of a
   rebuild. */
bool nix_build_over(const struct phase *phase, bool rebuild)
{
    if (!phase->raw_open)
        return true;
    if (!all_started(phase))
        return false;
    if (phase->open_failed > 0) /* others may run on, and nothing is activated after a failure */
        return rebuild;
    if (phase->system_listed)
        return phase->system_started;
    if (phase->listed == 0 && phase->system_last) /* a log without its beginning */
        return true;
    if (rebuild && phase->rebuild_started)
        return true;
    return phase->rebuild || phase->label_switch;
}

/* ---- lists ---- */

#define SIZE_LIMIT 1e15 /* bytes; more is no size, and sums of such stay numbers */

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
    for (const char *digit = number; *digit != '\0'; digit++) { /* strtod depends on the locale */
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

/* "these N derivations will be built:" and its kin. What it says counts once its first entry has
 * come. */
static bool list_header(struct phase *phase, const struct line *line, int plural)
{
    const char *at = line->text + (plural ? 6 : 5), *end = line->text + line->length;
    int64_t count = plural ? 0 : 1;
    bool counted = !plural;
    if (phase->units_block || (phase->raw_open && !all_started(phase)))
        return false;
    if (plural && take_number(&at, end, &count)) {
        counted = true;
        if (at < end && *at == ' ')
            at++;
    }
    if (begins(at, end, plural ? "derivations will be built:" : "derivation will be built:")) {
        phase->list = LIST_BUILD;
        phase->list_bytes = -1;
    } else if (begins(at, end, plural ? "paths will be fetched" : "path will be fetched")) {
        const char *open = memchr(at, '(', (size_t)(end - at));
        phase->list = LIST_FETCH;
        phase->list_bytes = open == NULL ? -1 : take_size(open + 1, end);
    } else {
        return false;
    }
    phase->list_counted = counted;
    phase->list_confirmed = false;
    phase->announced = phase->list_left = count;
    return true;
}

static void list_confirm(struct phase *phase)
{
    if (phase->list_confirmed)
        return;
    phase->list_confirmed = true;
    phase->list_since_build = true;
    phase->raw_open = false; /* nix itself speaks: what ran before has ended */
    phase->result_seen = false;
    int64_t *total = phase->list == LIST_BUILD ? &phase->listed : &phase->copies_listed;
    *total += phase->announced;
    if (phase->list == LIST_FETCH && phase->list_bytes >= 0)
        phase->bytes_expected =
            (phase->bytes_expected < 0 ? 0 : phase->bytes_expected) + phase->list_bytes;
}

static bool system_name(const struct store_path *path)
{
    return starts(path->name, path->name_length, "nixos-system-") ||
           starts(path->name, path->name_length, "darwin-system-") ||
           starts(path->name, path->name_length, "home-manager-generation");
}

static void list_entry(struct phase *phase, const struct line *line)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (line->length < 3 || line->text[1] != ' ' || !take_path(line->text + 2, end, &path) ||
        path.after != end || path.drv != (phase->list == LIST_BUILD)) {
        phase->list = LIST_NONE;
        return;
    }
    list_confirm(phase);
    phase->list_left--;
    if (!phase->list_counted)
        ++*(phase->list == LIST_BUILD ? &phase->listed : &phase->copies_listed);
    unsigned before = drv_mark(&phase->drvs, hash_key(&path), DRV_LISTED);
    if (phase->list == LIST_FETCH)
        return;
    drv_mark(&phase->drvs, name_key(&path), DRV_LISTED);
    phase->last_listed = hash_key(&path);
    if ((before & DRV_LISTED) && phase->listed > 0)
        phase->listed--; /* the same again: nothing more to build */
    if (system_name(&path)) {
        phase->system_listed = true;
        phase->system_started = false;
    }
}

/* ---- builds and copies ---- */

static bool building(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    const char *end = line->text + line->length;
    if (!take_quoted_path(line->text + skip, end, &path) || phase->units_block)
        return false;
    if (path.drv && phase->raw_open && phase->listed > 0 && !known_drv(phase, &path))
        return false;
    if (!(drv_mark(&phase->drvs, hash_key(&path), DRV_STARTED) & DRV_STARTED))
        phase->started++;
    drv_mark(&phase->drvs, name_key(&path), DRV_STARTED);
    if (!phase->raw_open) {
        phase->open_started = phase->open_failed = 0;
        phase->kept_going = false;
    }
    phase->kept_going |= phase->open_failed > 0;
    phase->open_started++;
    phase->last_started = hash_key(&path);
    phase->last_failed = false;
    phase->remote |= begins(path.after, end, " on ");
    phase->raw_open = true;
    phase->result_seen = false;
    phase->system_last = system_name(&path);
    phase->system_started |= phase->system_last;
    phase->rebuild_started = starts(path.name, path.name_length, "nixos-rebuild") ||
                             starts(path.name, path.name_length, "nix-");
    phase_set(phase, PHASE_BUILDING);
    phase_current(phase, path.name, path.name_length);
    return true;
}

/* " to 'ssh://host'": what nix copy says of an upload. */
static bool to_elsewhere(const char *at, const char *end)
{
    return begins(at, end, " to '") && find(at, (size_t)(end - at), "://") != NULL;
}

static bool copying(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    if (phase->units_block ||
        !take_quoted_path(line->text + skip, line->text + line->length, &path))
        return false;
    if (!begins(path.after, line->text + line->length, " from ") &&
        !begins(path.after, line->text + line->length, " to "))
        return false;
    bool known = drv_flags(&phase->drvs, hash_key(&path)) != 0 ||
                 (all_started(phase) && to_elsewhere(path.after, line->text + line->length));
    if (phase->drvs.count > 0 && !known && !phase->remote && !phase->result_seen &&
        !nix_build_over(phase, false))
        return false;
    /* Remote builders bring more than what was announced. */
    if (phase->copies_listed == 0 || begins(path.after, line->text + line->length, " to ") || known)
        phase->copies++;
    phase_set(phase, PHASE_FETCHING);
    phase_current(phase, path.name, path.name_length);
    return true;
}

/* "fetching path ‘…’..." (1.x) */
static bool fetching_path(struct phase *phase, const struct line *line, int skip)
{
    struct store_path path;
    if (phase->units_block ||
        !take_quoted_path(line->text + skip, line->text + line->length, &path) ||
        !known_drv(phase, &path))
        return false;
    phase->copies++;
    phase_set(phase, PHASE_FETCHING);
    phase_current(phase, path.name, path.name_length);
    return true;
}

static bool copying_paths(struct phase *phase, const struct line *line, int skip)
{
    const char *at = line->text + skip;
    int64_t count;
    if (!nix_build_over(phase, false) || !take_number(&at, line->text + line->length, &count) ||
        !begins(at, line->text + line->length, " path"))
        return false;
    phase->copies_listed += count;
    phase_set(phase, PHASE_FETCHING);
    return true;
}

static bool downloading(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (phase->raw_open || !ends(line->text, line->length, "..."))
        return false;
    phase_set(phase, phase->view.phase == PHASE_NONE ? PHASE_EVALUATING : phase->view.phase);
    return true;
}

static bool evaluating(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (phase->raw_open || phase->units_block || phase->view.phase > PHASE_BUILDING)
        return false;
    if (phase->view.phase == PHASE_NONE)
        phase_set(phase, PHASE_EVALUATING);
    return true;
}

static bool result(struct phase *phase, const struct line *line, int argument)
{
    struct store_path path;
    (void)argument;
    if (!take_path(line->text, line->text + line->length, &path) || path.drv ||
        path.after != line->text + line->length)
        return false;
    if (!phase->raw_open || all_started(phase))
        phase->result_seen = true;
    return true;
}

/* nix-env ends by building a user environment, which has no line of its own. */
static bool environment_made(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!phase->raw_open || !all_started(phase) ||
        !ends(line->text, line->length, " symlinks in user environment"))
        return false;
    phase->result_seen |= strcmp(phase->view.progress.current, "user-environment") == 0;
    return true;
}

static bool checks_passed(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    phase->result_seen |= !phase->raw_open && !phase->units_block;
    return true;
}

/* Indented lines belong to the list or error above them. */
void nix_indented(struct phase *phase, const struct line *line)
{
    if (phase->list != LIST_NONE)
        list_entry(phase, line);
    else
        nix_error_indented(phase, line);
}

/* ---- updates ---- */

static bool lock_file(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (phase->raw_open)
        return false;
    phase_set(phase, PHASE_UPDATING);
    phase->update_ok = true;
    return true;
}

const struct rule nix_rules[] = {
    {"these ", list_header, 1, false},
    {"this ", list_header, 0, false},
    {"building '/", building, 9, false},
    {"building \xE2\x80\x98/", building, 9, false},
    {"building path(s) ", building, 17, false},
    {"copying path ", copying, 13, false},
    {"copying ", copying_paths, 8, false},
    {"downloading '", downloading, 0, false},
    {"fetching path ", fetching_path, 14, false},
    {"fetching ", downloading, 0, false},
    {"unpacking '", evaluating, 0, false},
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
