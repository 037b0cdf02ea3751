/* nix's permanent lines: lists, builds, copies, errors. A legacy build mixes them with its
   builders' own output, which may be any text; while such a build is open, only lines that name a
   derivation of this build are believed. */
#include "phase_internal.h"

#include <stdlib.h>

#define STORE_HASH 32
#define MIB 1048576.0

/* ---- derivations ---- */

static uint64_t key_of(const char *bytes, size_t length)
{
    uint64_t key = UINT64_C(14695981039346656037);
    for (size_t at = 0; at < length; at++)
        key = (key ^ (unsigned char)bytes[at]) * UINT64_C(1099511628211);
    return (key | 4) & ~UINT64_C(3); /* never 0, flags free */
}

static uint64_t *drv_slot(const struct drv_set *set, uint64_t key)
{
    size_t at = (key >> 2) & (set->capacity - 1);
    while (set->key[at] != 0 && (set->key[at] & ~UINT64_C(3)) != key)
        at = (at + 1) & (set->capacity - 1);
    return &set->key[at];
}

static bool drv_grow(struct drv_set *set)
{
    struct drv_set larger = {NULL, set->capacity == 0 ? 256 : set->capacity * 2, set->count};
    larger.key = calloc(larger.capacity, sizeof *larger.key);
    if (larger.key == NULL)
        return false;
    for (size_t at = 0; at < set->capacity; at++)
        if (set->key[at] != 0)
            *drv_slot(&larger, set->key[at] & ~UINT64_C(3)) = set->key[at];
    free(set->key);
    *set = larger;
    return true;
}

/* Sets flags of a key; returns those it had before. */
static unsigned drv_mark(struct drv_set *set, uint64_t key, unsigned flags)
{
    if (set->count * 2 >= set->capacity && (set->count >= DRV_SET_MAX || !drv_grow(set)))
        return 0;
    uint64_t *slot = drv_slot(set, key);
    if (*slot == 0) {
        *slot = key;
        set->count++;
    }
    unsigned before = *slot & 3;
    *slot |= flags;
    return before;
}

static unsigned drv_flags(const struct drv_set *set, uint64_t key)
{
    return set->capacity == 0 ? 0 : *drv_slot(set, key) & 3;
}

void drv_set_free(struct drv_set *set)
{
    free(set->key);
}

/* ---- store paths and quotes ---- */

struct store_path {
    const char *hash, *name;
    size_t name_length; /* without .drv */
    bool drv;
    const char *after;
};

static uint64_t hash_key(const struct store_path *path)
{
    return key_of(path->hash, STORE_HASH);
}

static uint64_t name_key(const struct store_path *path)
{
    return key_of(path->name, path->name_length);
}

static bool name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("+-._?=", byte) != NULL);
}

/* DIR/HASH-NAME[.drv] at text; any directory, since stores can lie elsewhere. */
static bool take_path(const char *text, const char *end, struct store_path *path)
{
    const char *at = text, *base = NULL;
    if (at == end || *at != '/')
        return false;
    for (; at < end && (name_byte(*at) || *at == '/' || *at == '~'); at++)
        if (*at == '/')
            base = at + 1;
    if (base == NULL || at - base < STORE_HASH + 2 || base[STORE_HASH] != '-')
        return false;
    for (int k = 0; k < STORE_HASH; k++)
        if (!((base[k] >= '0' && base[k] <= '9') || (base[k] >= 'a' && base[k] <= 'z')))
            return false;
    path->hash = base;
    path->name = base + STORE_HASH + 1;
    path->name_length = (size_t)(at - path->name);
    path->drv = path->name_length > 4 && ends(path->name, path->name_length, ".drv");
    if (path->drv)
        path->name_length -= 4;
    path->after = at;
    return true;
}

/* ' or the old curly quotes. */
static bool take_quote(const char **at, const char *end)
{
    if (*at < end && **at == '\'') {
        ++*at;
        return true;
    }
    if (end - *at >= 3 && memcmp(*at, "\xE2\x80", 2) == 0 &&
        ((*at)[2] == '\x98' || (*at)[2] == '\x99')) {
        *at += 3;
        return true;
    }
    return false;
}

static bool take_quoted_path(const char *at, const char *end, struct store_path *path)
{
    return take_quote(&at, end) && take_path(at, end, path) && take_quote(&path->after, end);
}

static bool begins(const char *at, const char *end, const char *prefix)
{
    return starts(at, (size_t)(end - at), prefix);
}

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

static bool known_drv(const struct phase *phase, const struct store_path *path)
{
    if (!phase->raw_open || phase->drvs.count == 0 || phase->drvs.count >= DRV_SET_MAX)
        return true;
    return drv_flags(&phase->drvs, hash_key(path)) != 0;
}

/* The same of old messages, which name the path that was built, not its derivation. */
static bool known_name(const struct phase *phase, const struct store_path *path)
{
    return known_drv(phase, path) || drv_flags(&phase->drvs, name_key(path)) != 0;
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

/* ---- errors ---- */

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

/* Indented lines belong to the list or error above them. */
void nix_indented(struct phase *phase, const struct line *line)
{
    if (phase->list != LIST_NONE) {
        list_entry(phase, line);
        return;
    }
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

/* Last of all tables' error rules: kept apart, since git's errors come before it. */
const struct rule error_rules[] = {
    {"error:", general_error, 0, false},
    {NULL, NULL, 0, false},
};
