/* Finds secrets by a rolling hash over the visible bytes, one pass for each length that a secret
 * has. */
#include "redact.h"

#include <stdlib.h>
#include <string.h>

#include "../common/io.h"

#define PREFIX_MIN \
    4 /* bytes: a shorter beginning of a value tells nothing and would hide too much */

struct buffer {
    char *bytes;
    size_t size, room;
};

/* Invariant: visible.size <= places_room; place[i] is where visible byte i stands in its own line.
 */
struct redactor {
    struct secrets secrets;
    char *known[SECRETS_MAX]; /* values in the clear */
    size_t known_count;
    size_t longest;
    struct buffer visible, out;
    size_t *place;
    unsigned char *hit; /* for each visible byte: 0, HIT_START or HIT_INSIDE */
    size_t places_room;
};

enum { HIT_NONE, HIT_START, HIT_INSIDE };

/* ---- the set ---- */

static void know(struct redactor *redactor, const char *value)
{
    if (redactor->known_count < SECRETS_MAX &&
        (redactor->known[redactor->known_count] = strdup(value)))
        redactor->known_count++;
}

static void measure(struct redactor *redactor)
{
    redactor->longest = 0;
    for (size_t i = 0; i < redactor->secrets.count; i++)
        if (redactor->secrets.value[i].length > redactor->longest)
            redactor->longest = redactor->secrets.value[i].length;
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
        const char *value = strchr(*environment, '=');
        size_t length = value ? strlen(++value) : 0;

        if (length > 0 && length <= redactor->longest &&
            is_secret(redactor, value, length, secrets_rolling(value, length)))
            know(redactor, value);
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
    know(redactor, value);
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

/* Marks every value of this length that starts in front of `starts`. */
static bool find_length(struct redactor *redactor, const char *text, size_t size, size_t starts,
                        size_t length)
{
    uint64_t rolling, leaving = 1;
    bool found = false;

    if (size < length)
        return false;
    for (size_t i = 1; i < length; i++)
        leaving *= SECRETS_BASE; /* B^(length-1): the weight of the byte that leaves */
    rolling = secrets_rolling(text, length);
    for (size_t i = 0;; i++) {
        for (size_t k = 0; k < redactor->secrets.count; k++) {
            const struct secret *secret = &redactor->secrets.value[k];

            if (secret->rolling == rolling && secret->length == length &&
                secrets_is(&redactor->secrets, secret, text + i)) {
                mark(redactor, i, i + length);
                found = true;
            }
        }
        if (i + 1 + length > size || i + 1 >= starts)
            return found;
        rolling = (rolling - (unsigned char)text[i] * leaving) * SECRETS_BASE +
                  (unsigned char)text[i + length];
    }
}

static bool first_of_length(const struct redactor *redactor, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (redactor->secrets.value[i].length == redactor->secrets.value[index].length)
            return false;
    return true;
}

static bool find_all(struct redactor *redactor, const char *text, size_t size, size_t starts)
{
    bool found = false;

    for (size_t i = 0; i < redactor->secrets.count; i++)
        if (first_of_length(redactor, i))
            found |= find_length(redactor, text, size, starts, redactor->secrets.value[i].length);
    return found;
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
