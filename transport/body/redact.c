/* Finds secrets by a hash of six bytes at each position, in one pass for all secrets. */
#include "redact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/hyperlink.h"
#include "../../common/io.h"

/* bytes; shorter beginnings of values are shown: they reveal little, and are in much other text */
#define PREFIX_MIN 4

/* bytes; a cut may be this much earlier, so that it does not split a character */
#define CUT_SLACK 4
#define FILTER_BITS 18
#define BUCKET_BITS 12
#define WINDOW SECRET_FORM_MIN

struct buffer {
    char *bytes;
    size_t size, capacity;
};

/* A form of a value as plain text. */
struct known {
    char *text;
    size_t length;
};

/* Invariant: visible.size <= places_capacity; place[i] is the position of visible byte i in its own
   line. The secrets are sorted by the hash of their first bytes; those whose hash begins with the
   bits b are bucket[b] to bucket[b + 1] - 1. */
struct redactor {
    struct secrets secrets;
    struct known *known;
    size_t known_count, known_capacity;
    size_t longest;
    uint32_t bucket[(1 << BUCKET_BITS) + 1];
    uint64_t filter[(1 << FILTER_BITS) / 64]; /* a bit for the first bits of each hash */
    struct buffer visible, out;
    size_t *place;
    unsigned char *hit; /* for each visible byte: HIT_NONE, HIT_START or HIT_INSIDE */
    size_t places_capacity;
};

enum { HIT_NONE, HIT_START, HIT_INSIDE };

/* ---- the set ---- */

static int by_first(const void *a, const void *b)
{
    uint32_t one = ((const struct secret *)a)->first, other = ((const struct secret *)b)->first;

    return (one > other) - (one < other);
}

/* To be called after a change of the set. */
static void arrange(struct redactor *redactor)
{
    struct secrets *secrets = &redactor->secrets;

    if (secrets->count > 0)
        qsort(secrets->value, secrets->count, sizeof *secrets->value, by_first);
    memset(redactor->bucket, 0, sizeof redactor->bucket);
    memset(redactor->filter, 0, sizeof redactor->filter);
    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *secret = &secrets->value[i];
        uint32_t bit = secret->first >> (SECRETS_HASH_BITS - FILTER_BITS);

        redactor->filter[bit / 64] |= UINT64_C(1) << bit % 64;
        redactor->bucket[(secret->first >> (SECRETS_HASH_BITS - BUCKET_BITS)) + 1]++;
        if (secret->length > redactor->longest)
            redactor->longest = secret->length;
    }
    for (size_t i = 0; i < (size_t)1 << BUCKET_BITS; i++)
        redactor->bucket[i + 1] += redactor->bucket[i];
}

/* The length of the longest value at text, whose first bytes have this hash; 0: none. */
static size_t value_at(const struct redactor *redactor, const char *text, size_t left,
                       uint32_t hash)
{
    const struct secrets *secrets = &redactor->secrets;
    const uint32_t *bucket = redactor->bucket + (hash >> (SECRETS_HASH_BITS - BUCKET_BITS));
    size_t longest = 0;

    for (uint32_t i = bucket[0]; i < bucket[1]; i++) {
        const struct secret *secret = &secrets->value[i];

        if (secret->first == hash && secret->length <= left && secret->length > longest &&
            secrets_hash_at(secrets->key, text + secret->length - WINDOW) == secret->last &&
            secrets_is(secrets, secret, text))
            longest = secret->length;
    }
    return longest;
}

static void know(void *context, const char *text, size_t length, bool blanks)
{
    struct redactor *redactor = context;
    size_t capacity = redactor->known_capacity ? redactor->known_capacity * 2 : 32;
    struct known *grown;

    (void)blanks;
    if (value_at(redactor, text, length, secrets_hash_at(redactor->secrets.key, text)) != length)
        return;
    if (redactor->known_count == redactor->known_capacity) {
        if (!(grown = realloc(redactor->known, capacity * sizeof *grown)))
            return;
        redactor->known = grown;
        redactor->known_capacity = capacity;
    }
    redactor->known[redactor->known_count].length = length;
    if ((redactor->known[redactor->known_count].text = strndup(text, length)))
        redactor->known_count++;
}

static void know_value(void *context, const char *name, const char *value)
{
    (void)name;
    (void)secret_forms(value, know, context);
}

struct redactor *redactor_new(const char *secrets, char *const environment[], char *const argv[],
                              char *const patterns[])
{
    struct redactor *redactor = calloc(1, sizeof *redactor);

    if (!redactor)
        return NULL;
    if (secrets_parse(&redactor->secrets, secrets ? secrets : "") < 0) {
        int problem = errno;

        redactor_free(redactor);
        errno = problem;
        return NULL;
    }
    arrange(redactor);
    secret_values(environment, argv, patterns, know_value, redactor);
    return redactor;
}

void redactor_free(struct redactor *redactor)
{
    if (!redactor)
        return;
    secrets_free(&redactor->secrets);
    for (size_t i = 0; i < redactor->known_count; i++)
        free(redactor->known[i].text);
    free(redactor->known);
    free(redactor->visible.bytes);
    free(redactor->out.bytes);
    free(redactor->place);
    free(redactor->hit);
    free(redactor);
}

void redactor_add(struct redactor *redactor, const char *value)
{
    if (!value || !secrets_add_any(&redactor->secrets, value))
        return;
    arrange(redactor);
    (void)secret_forms_of_any(value, know, redactor);
}

/* ---- the visible text ---- */

/* The length of the escape sequence (CSI or a hyperlink, the only kinds in lines) at text; 0:
 * none. */
static size_t escape_length(const char *text, size_t left)
{
    size_t n = 2, link = text[0] == '\033' ? hyperlink_length(text, left) : 0;

    if (link)
        return link;

    if (left < 2 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (n < left && (text[n] < '@' || text[n] > '~'))
        n++;
    return n < left ? n + 1 : left;
}

static bool reserve(struct redactor *redactor, size_t size)
{
    AUTO_FREE char *bytes = NULL;
    AUTO_FREE size_t *place = NULL;
    AUTO_FREE unsigned char *hit = NULL;

    if (size <= redactor->places_capacity)
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
    redactor->places_capacity = size;
    bytes = NULL, place = NULL, hit = NULL;
    return true;
}

/* Appends at most limit visible bytes of text. If a blank of a value may be several blanks in
 * output, several blanks become one. */
static void append_visible(struct redactor *redactor, const char *text, size_t length, size_t limit)
{
    struct buffer *visible = &redactor->visible;
    bool blanks = redactor->secrets.blanks;

    for (size_t i = 0; i < length && limit > 0;) {
        size_t escape = escape_length(text + i, length - i);

        if (escape) {
            i += escape;
            continue;
        }
        if (blanks && text[i] == ' ' && visible->size > 0 &&
            visible->bytes[visible->size - 1] == ' ') {
            i++;
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

static bool passes_filter(const struct redactor *redactor, uint32_t hash)
{
    uint32_t bit = hash >> (SECRETS_HASH_BITS - FILTER_BITS);

    return redactor->filter[bit / 64] >> bit % 64 & 1;
}

static uint64_t word_at(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* The first position from `from` on and before `starts` at which a value starts; SIZE_MAX: none.
 * *length: of the value. */
static size_t next_value(const struct redactor *redactor, const char *text, size_t size,
                         size_t from, size_t starts, size_t *length)
{
    uint64_t key = redactor->secrets.key;
    size_t end = size >= WINDOW ? size - WINDOW + 1 : 0;
    size_t whole = size >= sizeof(uint64_t) ? size - sizeof(uint64_t) + 1 : 0;

    if (end > starts)
        end = starts;
    for (size_t i = from; i < end; i++) {
        uint32_t hash =
            i < whole ? secrets_hash(key, word_at(text + i)) : secrets_hash_at(key, text + i);

        if (passes_filter(redactor, hash) &&
            (*length = value_at(redactor, text + i, size - i, hash)) > 0)
            return i;
    }
    return SIZE_MAX;
}

/* Marks every value that starts before `starts`. */
static bool find_all(struct redactor *redactor, const char *text, size_t size, size_t starts)
{
    bool found = false;
    size_t at = 0, length;

    while ((at = next_value(redactor, text, size, at, starts, &length)) != SIZE_MAX) {
        mark(redactor, at, at + length);
        found = true;
        at++;
    }
    return found;
}

/* Most text has no colours and no values; this is checked without a copy. */
static bool plainly_clean(const struct redactor *redactor, const char *text, size_t length)
{
    size_t found;

    if (length < WINDOW)
        return true; /* shorter than any value, with or without escape sequences */
    if (memchr(text, '\033', length) || (redactor->secrets.blanks && memmem(text, length, "  ", 2)))
        return false;
    return next_value(redactor, text, length, 0, length, &found) == SIZE_MAX;
}

bool redact_needless(const struct redactor *redactor, const char *lines, size_t length)
{
    return redactor->secrets.count == 0 || plainly_clean(redactor, lines, length);
}

/* ---- replacing ---- */

static bool put(struct buffer *out, const char *bytes, size_t size)
{
    if (out->capacity - out->size < size) {
        size_t capacity = (out->size + size) * 2;
        char *grown = realloc(out->bytes, capacity);

        if (!grown)
            return false;
        out->bytes = grown;
        out->capacity = capacity;
    }
    if (size > 0) /* memcpy must not get a null pointer */
        memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return true;
}

/* Copies the text, with REDACT_MARK in place of each value; escape sequences stay. */
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

/* redact_line for what a person sees. */
static const char *redact_visible(struct redactor *redactor, const char *text, size_t length,
                                  size_t covered, const char *next, size_t next_length,
                                  size_t *covers_next, size_t *out_length)
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
    if (!reserve(redactor, length + ahead + 1)) {
        /* out of memory: no text, because a secret may be in it */
        *out_length = sizeof REDACT_MARK - 1;
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

/* ---- the targets of links ---- */

/* Is the sequence a link whose target has a value in it? */
static bool leads_to_value(const struct redactor *redactor, const char *sequence, size_t size)
{
    size_t length;

    return next_value(redactor, sequence, size, 0, size, &length) != SIZE_MAX;
}

/* The length of such a sequence at text; else 0. */
static size_t bad_link(const struct redactor *redactor, const char *text, size_t left)
{
    size_t link = text[0] == '\033' ? hyperlink_length(text, left) : 0;

    return link && leads_to_value(redactor, text, link) ? link : 0;
}

/* Leaves out the links whose target has a value in it; their text stays. */
static const char *leave_out_links(struct redactor *redactor, const char *text, size_t *length)
{
    struct buffer *out = &redactor->out;
    size_t size = 0, link, from = 0;

    while (from < *length && !bad_link(redactor, text + from, *length - from))
        from++;
    if (from == *length)
        return text;
    if (text != out->bytes) {
        out->size = 0;
        if (!put(out, text, *length)) {
            *length = sizeof REDACT_MARK - 1;
            return REDACT_MARK;
        }
    }
    for (size_t i = 0; i < *length; i += link) {
        link = bad_link(redactor, out->bytes + i, *length - i);
        if (link == 0) {
            out->bytes[size++] = out->bytes[i];
            link = 1;
        }
    }
    out->size = *length = size;
    return out->bytes;
}

const char *redact_line(struct redactor *redactor, const char *text, size_t length, size_t covered,
                        const char *next, size_t next_length, size_t *covers_next,
                        size_t *out_length)
{
    const char *clean =
        redact_visible(redactor, text, length, covered, next, next_length, covers_next, out_length);

    if (redactor->secrets.count == 0 ||
        !memmem(clean, *out_length, HYPERLINK_START, strlen(HYPERLINK_START)))
        return clean;
    return leave_out_links(redactor, clean, out_length);
}

const char *redact_text(struct redactor *redactor, const char *text, size_t length,
                        size_t *out_length)
{
    return redact_line(redactor, text, length, 0, NULL, 0, NULL, out_length);
}

/* The number of bytes before visible byte `most`; does not split a character. */
static size_t place_of(const struct redactor *redactor, const char *text, size_t most)
{
    size_t place = redactor->place[most];

    while (place > 0 && ((unsigned char)text[place] & 0xc0) == 0x80)
        place--;
    return place;
}

/* The text was cut at its end. Returns a position such that each value that begins before it ends
 * within the text. */
static size_t whole_length(struct redactor *redactor, const char *text, size_t length)
{
    size_t size;

    if (redactor->secrets.count == 0 || !reserve(redactor, length + 1))
        return length;
    redactor->visible.size = 0;
    append_visible(redactor, text, length, length);
    size = redactor->visible.size;
    if (size < redactor->longest)
        return redactor->longest <= WINDOW ? length : 0;
    return place_of(redactor, text, size - redactor->longest + 1);
}

const char *redact_cut_text(struct redactor *redactor, const char *text, size_t capacity,
                            size_t shown, size_t *out_length)
{
    size_t length = strnlen(text, capacity - 1), whole = length, own;
    const char *clean;

    if (length + CUT_SLACK >= capacity)
        whole = whole_length(redactor, text, length);
    /* A value that begins in the first `whole` bytes may end behind them. */
    clean = redact_line(redactor, text, whole, 0, text + whole, length - whole, &own, out_length);
    if (*out_length > shown)
        for (*out_length = shown;
             *out_length > 0 && ((unsigned char)clean[*out_length] & 0xc0) == 0x80;)
            --*out_length;
    return clean;
}

/* The position at which the text ends with the beginning of a known value; the size if it does
 * not. */
static size_t beginning_at_end(const struct redactor *redactor)
{
    const char *text = redactor->visible.bytes;
    size_t size = redactor->visible.size;
    size_t from = size > SECRET_FORM_MAX ? size - SECRET_FORM_MAX : 0;

    for (size_t i = from; i + PREFIX_MIN <= size; i++)
        for (size_t k = 0; k < redactor->known_count; k++) {
            const struct known *known = &redactor->known[k];

            if (known->text[0] == text[i] && known->length > size - i &&
                memcmp(known->text, text + i, size - i) == 0)
                return i;
        }
    return size;
}

size_t redact_safe_length(struct redactor *redactor, const char *text, size_t length)
{
    size_t start;

    if (redactor->known_count == 0 || !reserve(redactor, length + 1))
        return length;
    redactor->visible.size = 0;
    append_visible(redactor, text, length, length);
    start = beginning_at_end(redactor);
    return start < redactor->visible.size ? redactor->place[start] : length;
}
