/* Finds secrets by a rolling hash over the visible bytes, one pass for each length that a secret
 * has. */
#include "redact.h"

#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"

#define PREFIX_MIN \
    4 /* bytes: a shorter beginning of a value tells nothing and would hide too much */

#define CUT_SLACK 4 /* a cut spares a character of as many bytes */
#define FILTER_BITS 13

struct buffer {
    char *bytes;
    size_t size, room;
};

/* The values of one length: they are neighbours in the set. */
struct group {
    const struct secret *first, *end;
    size_t length;
    uint64_t leaving; /* B^(length-1): the weight of the byte that leaves */
};

/* Invariant: visible.size <= places_room; place[i] is where visible byte i stands in its own
   line. */
struct redactor {
    struct secrets secrets;
    char *known[SECRETS_ROOM]; /* values in the clear */
    size_t known_count;
    struct group groups[SECRETS_ROOM]; /* by length */
    size_t group_count, shortest, longest;
    bool filter[1 << FILTER_BITS]; /* by the first bits of the rolling hashes that there are */
    struct buffer visible, out;
    size_t *place;
    unsigned char *hit; /* for each visible byte: 0, HIT_START or HIT_INSIDE */
    size_t places_room;
};

enum { HIT_NONE, HIT_START, HIT_INSIDE };

/* ---- the set ---- */

static void know(struct redactor *redactor, const char *line, size_t length)
{
    if (redactor->known_count < SECRETS_ROOM &&
        (redactor->known[redactor->known_count] = strndup(line, length)))
        redactor->known_count++;
}

static size_t filter_of(uint64_t rolling)
{
    return (size_t)(rolling >> (64 - FILTER_BITS));
}

static int by_length(const void *a, const void *b)
{
    size_t one = ((const struct secret *)a)->length, other = ((const struct secret *)b)->length;

    return (one > other) - (one < other);
}

static struct group group_from(const struct secret *first, const struct secret *end)
{
    struct group group = {first, first, first->length, 1};

    while (group.end < end && group.end->length == group.length)
        group.end++;
    for (size_t i = 1; i < group.length; i++)
        group.leaving *= SECRETS_BASE;
    return group;
}

static void measure(struct redactor *redactor)
{
    struct secrets *secrets = &redactor->secrets;
    const struct secret *at = secrets->value, *end = at + secrets->count;

    if (secrets->count == 0)
        return;
    qsort(secrets->value, secrets->count, sizeof *secrets->value, by_length);
    redactor->shortest = at->length;
    redactor->longest = end[-1].length;
    for (redactor->group_count = 0; at < end; redactor->group_count++) {
        redactor->groups[redactor->group_count] = group_from(at, end);
        at = redactor->groups[redactor->group_count].end;
    }
    for (size_t i = 0; i < secrets->count; i++)
        redactor->filter[filter_of(secrets->value[i].rolling)] = true;
}

static bool is_secret(const struct redactor *redactor, const char *bytes, size_t length,
                      uint64_t rolling)
{
    for (size_t i = 0; i < redactor->secrets.count; i++) {
        const struct secret *secret = &redactor->secrets.value[i];

        if (secret->length == length && secret->rolling == rolling &&
            secrets_is(&redactor->secrets, secret, bytes))
            return true;
    }
    return false;
}

struct redactor *redactor_new(const char *secrets, char *const environment[])
{
    struct redactor *redactor = calloc(1, sizeof *redactor);

    if (!redactor)
        return NULL;
    if (secrets_parse(&redactor->secrets, secrets ? secrets : "") < 0)
        secrets_init(&redactor->secrets);
    measure(redactor);
    for (; environment && *environment; environment++) {
        const char *rest = strchr(*environment, '='), *line;
        size_t length;

        for (rest = rest ? rest + 1 : ""; (line = secrets_line(&rest, &length));)
            if (length <= redactor->longest &&
                is_secret(redactor, line, length, secrets_rolling(line, length)))
                know(redactor, line, length);
    }
    return redactor;
}

void redactor_free(struct redactor *redactor)
{
    if (!redactor)
        return;
    for (size_t i = 0; i < redactor->known_count; i++)
        free(redactor->known[i]);
    free(redactor->visible.bytes);
    free(redactor->out.bytes);
    free(redactor->place);
    free(redactor->hit);
    free(redactor);
}

void redactor_add(struct redactor *redactor, const char *value)
{
    if (!value || strlen(value) < SECRETS_LENGTH_MIN)
        return;
    secrets_add(&redactor->secrets, value);
    know(redactor, value, strlen(value));
    measure(redactor);
}

/* ---- the visible text ---- */

/* Length of the escape sequence at text (CSI, as the lines hold no other), 0 if there is none. */
static size_t escape_length(const char *text, size_t left)
{
    size_t n = 2;

    if (left < 2 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (n < left && (text[n] < '@' || text[n] > '~'))
        n++;
    return n < left ? n + 1 : left;
}

static bool make_room(struct redactor *redactor, size_t size)
{
    AUTO_FREE char *bytes = NULL;
    AUTO_FREE size_t *place = NULL;
    AUTO_FREE unsigned char *hit = NULL;

    if (size <= redactor->places_room)
        return true;
    size += size / 2;
    if (!(bytes = malloc(size)) || !(place = malloc(size * sizeof *place)) || !(hit = malloc(size)))
        return false;
    free(redactor->visible.bytes);
    free(redactor->place);
    free(redactor->hit);
    redactor->visible.bytes = bytes;
    redactor->place = place;
    redactor->hit = hit;
    redactor->places_room = size;
    bytes = NULL, place = NULL, hit = NULL;
    return true;
}

/* Appends at most limit visible bytes of text. */
static void append_visible(struct redactor *redactor, const char *text, size_t length, size_t limit)
{
    struct buffer *visible = &redactor->visible;

    for (size_t i = 0; i < length && limit > 0;) {
        size_t escape = escape_length(text + i, length - i);

        if (escape) {
            i += escape;
            continue;
        }
        redactor->place[visible->size] = i;
        visible->bytes[visible->size++] = text[i++];
        limit--;
    }
}

/* ---- finding ---- */

static void mark(struct redactor *redactor, size_t start, size_t end)
{
    if (redactor->hit[start] == HIT_NONE)
        redactor->hit[start] = HIT_START;
    for (size_t i = start + 1; i < end; i++)
        redactor->hit[i] = HIT_INSIDE;
}

static bool is_of(const struct redactor *redactor, const struct group *group, uint64_t rolling,
                  const char *bytes)
{
    if (!redactor->filter[filter_of(rolling)])
        return false;
    for (const struct secret *secret = group->first; secret < group->end; secret++)
        if (secret->rolling == rolling && secrets_is(&redactor->secrets, secret, bytes))
            return true;
    return false;
}

/* Where the next value of the group starts, from `from` on and in front of `starts`; SIZE_MAX if
 * none does. */
static size_t next_value(const struct redactor *redactor, const struct group *group,
                         const char *text, size_t size, size_t from, size_t starts)
{
    uint64_t rolling;

    if (from >= starts || size < group->length || from > size - group->length)
        return SIZE_MAX;
    rolling = secrets_rolling(text + from, group->length);
    for (size_t i = from;; i++) {
        if (is_of(redactor, group, rolling, text + i))
            return i;
        if (i + 1 + group->length > size || i + 1 >= starts)
            return SIZE_MAX;
        rolling = (rolling - (unsigned char)text[i] * group->leaving) * SECRETS_BASE +
                  (unsigned char)text[i + group->length];
    }
}

/* Marks every value that starts in front of `starts`. */
static bool find_all(struct redactor *redactor, const char *text, size_t size, size_t starts)
{
    bool found = false;

    for (size_t i = 0; i < redactor->group_count; i++) {
        const struct group *group = &redactor->groups[i];
        size_t at = 0;

        while ((at = next_value(redactor, group, text, size, at, starts)) != SIZE_MAX) {
            mark(redactor, at, at + group->length);
            found = true;
            at++;
        }
    }
    return found;
}

/* Most lines are by themselves and without colours, and have nothing in them: that can be told
 * without a copy. */
static bool plainly_clean(const struct redactor *redactor, const char *text, size_t length)
{
    if (length < redactor->shortest)
        return true; /* an escape sequence only makes a value longer */
    if (memchr(text, '\033', length))
        return false;
    for (size_t i = 0; i < redactor->group_count; i++)
        if (next_value(redactor, &redactor->groups[i], text, length, 0, length) != SIZE_MAX)
            return false;
    return true;
}

bool redact_needless(const struct redactor *redactor, const char *lines, size_t length)
{
    const char *end = lines + length, *lf;

    if (redactor->secrets.count == 0)
        return true;
    for (; (lf = memchr(lines, '\n', (size_t)(end - lines))); lines = lf + 1)
        if (!plainly_clean(redactor, lines, (size_t)(lf - lines)))
            return false;
    return plainly_clean(redactor, lines, (size_t)(end - lines));
}

/* ---- replacing ---- */

static bool put(struct buffer *out, const char *bytes, size_t size)
{
    if (out->room - out->size < size) {
        size_t room = (out->size + size) * 2;
        char *grown = realloc(out->bytes, room);

        if (!grown)
            return false;
        out->bytes = grown;
        out->room = room;
    }
    if (size > 0) /* nothing may come from nowhere: memcpy must not see a null pointer */
        memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return true;
}

/* The text with every marked byte left out and REDACT_MARK at each start; escape sequences stay. */
static bool rewrite(struct redactor *redactor, const char *text, size_t length, size_t own)
{
    size_t from = 0;
    bool ok = true;

    redactor->out.size = 0;
    for (size_t i = 0; i < own && ok; i++) {
        if (redactor->hit[i] == HIT_NONE)
            continue;
        ok = put(&redactor->out, text + from, redactor->place[i] - from);
        if (redactor->hit[i] == HIT_START)
            ok = ok && put(&redactor->out, REDACT_MARK, sizeof REDACT_MARK - 1);
        from = redactor->place[i] + 1;
    }
    return ok && put(&redactor->out, text + from, length - from);
}

const char *redact_line(struct redactor *redactor, const char *text, size_t length, size_t covered,
                        const char *next, size_t next_length, size_t *covers_next,
                        size_t *out_length)
{
    size_t own, all, ahead = redactor->longest ? redactor->longest - 1 : 0;
    bool found;

    *out_length = length;
    if (covers_next)
        *covers_next = 0;
    if (redactor->secrets.count == 0 || length == 0)
        return text;
    if (covered == 0 && !next && plainly_clean(redactor, text, length))
        return text;
    if (!make_room(redactor, length + ahead + 1)) {
        *out_length = sizeof REDACT_MARK - 1; /* better nothing than a secret */
        return REDACT_MARK;
    }
    redactor->visible.size = 0;
    append_visible(redactor, text, length, length);
    own = redactor->visible.size;
    if (next)
        append_visible(redactor, next, next_length, ahead);
    all = redactor->visible.size;
    memset(redactor->hit, HIT_NONE, all);
    found = find_all(redactor, redactor->visible.bytes, all, own);
    if (covered > own)
        covered = own;
    memset(redactor->hit, HIT_INSIDE, covered);
    if (!found && covered == 0)
        return text;
    if (covers_next)
        while (own + *covers_next < all && redactor->hit[own + *covers_next] == HIT_INSIDE)
            ++*covers_next;
    if (!rewrite(redactor, text, length, own)) {
        *out_length = sizeof REDACT_MARK - 1;
        return REDACT_MARK;
    }
    *out_length = redactor->out.size;
    return redactor->out.bytes;
}

const char *redact_text(struct redactor *redactor, const char *text, size_t length,
                        size_t *out_length)
{
    return redact_line(redactor, text, length, 0, NULL, 0, NULL, out_length);
}

const char *redact_cut_text(struct redactor *redactor, const char *text, size_t room,
                            size_t *out_length)
{
    size_t length = strnlen(text, room);

    if (length + CUT_SLACK >= room)
        length = redact_safe_length(redactor, text, length);
    return redact_text(redactor, text, length, out_length);
}

size_t redact_safe_length(struct redactor *redactor, const char *text, size_t length)
{
    const struct buffer *visible = &redactor->visible;
    size_t safe = length;

    if (redactor->known_count == 0 || !make_room(redactor, length + 1))
        return length;
    redactor->visible.size = 0;
    append_visible(redactor, text, length, length);
    for (size_t i = 0; i < redactor->known_count; i++) {
        const char *value = redactor->known[i];

        for (size_t size = strlen(value) - 1; size >= PREFIX_MIN; size--)
            if (visible->size >= size &&
                memcmp(visible->bytes + visible->size - size, value, size) == 0 &&
                redactor->place[visible->size - size] < safe)
                safe = redactor->place[visible->size - size];
    }
    return safe;
}
