/* Converts texts to values and back, for each kind of setting. */
#include "setting.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "id.h"
#include "io.h"
#include "setting_list.h"
#include "system.h"

#define NEAR_MOST 2 /* letters in which a mistyped name may differ */
#define NAME_MOST 64

/* ---- checks ---- */

static bool wrong(char why[SETTING_WHY_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool wrong(char why[SETTING_WHY_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, SETTING_WHY_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static bool check_url(const char *text, char *why)
{
    const char *authority;

    if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
        return wrong(why, "the URL '%s' does not begin with https:// or http://", text);
    authority = strstr(text, "://") + 3;
    if (memchr(authority, '@', strcspn(authority, "/?#"))) /* a password, which must not be shown */
        return wrong(why, "the URL must hold no user name or password");
    if (text[strcspn(text, " \t\r\n")] || *authority == '\0')
        return wrong(why, "'%s' is not a URL", text);
    if (text[strcspn(text, "?#")])
        return wrong(why, "'%s': paths are added to the URL: it must end before '?' or '#'", text);
    return true;
}

static bool to_number(const char *text, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return !errno && end != text && !*end;
}

static bool to_size(const char *text, uint64_t *out)
{
    char *end;
    int shift;

    errno = 0;
    *out = strtoull(text, &end, 10);
    shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (errno || end == text || *text == '-' || end[shift > 0] || *out > UINT64_MAX >> shift)
        return false;
    *out <<= shift;
    return true;
}

static bool to_flag(const char *text, bool *out)
{
    static const char *const words[] = {"0", "false", "no", "off", "1", "true", "yes", "on"};

    for (int i = 0; i < 8; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i >= 4;
            return true;
        }
    return false;
}

/* A pattern has letters, digits, '_', '*', '?', and lists in brackets. fnmatch(3) accepts anything,
 * and then matches nothing. */
static bool is_pattern(const char *word)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

    while (*word) {
        if (*word == '[') {
            size_t length;

            word += 1 + (word[1] == '!' || word[1] == '^');
            length = strspn(word, letters);
            length += strspn(word + length, "-") ? 1 + strspn(word + length + 1, letters) : 0;
            if (length == 0 || word[length] != ']')
                return false;
            word += length;
        } else if (!strchr(letters, *word) && !strchr("*?", *word)) {
            return false;
        }
        word++;
    }
    return true;
}

static bool check_patterns(const char *text, char *why)
{
    AUTO_FREE char *copy = strdup(text);
    char *rest = copy, *word;

    while ((word = strsep(&rest, ", ")))
        if (!is_pattern(word))
            return wrong(why, "'%s' is not a pattern for names of variables", word);
    return true;
}

bool setting_check(const struct setting_row *row, const char *text, char why[SETTING_WHY_SIZE])
{
    char host[HOST_ID_SIZE];
    int64_t number;
    uint64_t size;
    bool flag;

    switch (row->kind) {
    case SETTING_TEXT:
        break;
    case SETTING_URL:
        return check_url(text, why);
    case SETTING_LABEL:
        if (strlen(text) > (size_t)row->high)
            return wrong(why, "longer than %lld bytes", (long long)row->high);
        break;
    case SETTING_HOST:
        if (!host_id_normalize(text, host))
            return wrong(
                why, "'%s' is not a letter or digit, then letters, digits, '-' and '_', 63 at most",
                text);
        break;
    case SETTING_FLAG:
        if (!to_flag(text, &flag))
            return wrong(why, "'%s' is neither 1, true, yes, on nor 0, false, no, off", text);
        break;
    case SETTING_NUMBER:
        if (!to_number(text, &number) || number < row->low || number > row->high)
            return wrong(why, "'%s' is not a whole number from %lld to %lld", text,
                         (long long)row->low, (long long)row->high);
        break;
    case SETTING_SIZE:
        if (!to_size(text, &size) || size > (uint64_t)row->high)
            return wrong(why, "'%s' is not a number of bytes (K, M or G may follow)", text);
        break;
    case SETTING_PATTERNS:
        return check_patterns(text, why);
    }
    return true;
}

/* ---- fields ---- */

static void *field_of(const struct setting_row *row, void *target)
{
    return (char *)target + row->offset;
}

static void free_words(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

void setting_free(const struct setting_row *row, void *target)
{
    void *field = field_of(row, target);

    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_URL:
    case SETTING_LABEL: {
        char **text = field;

        if (*text && row->properties & SETTING_SECRET)
            wipe(*text, strlen(*text));
        free(*text);
        *text = NULL;
        break;
    }
    case SETTING_PATTERNS: {
        char ***words = field;

        free_words(*words);
        *words = NULL;
        break;
    }
    case SETTING_HOST:
    case SETTING_FLAG:
    case SETTING_NUMBER:
    case SETTING_SIZE:
        break;
    }
}

static int set_text(char **field, const char *text)
{
    if (text && !(*field = strdup(text)))
        return -1;
    return 0;
}

static int set_url(char **field, const char *text)
{
    if (set_text(field, text) < 0)
        return -1;
    for (size_t length = text ? strlen(text) : 0; length > 0 && (*field)[length - 1] == '/';
         length--)
        (*field)[length - 1] = '\0';
    return 0;
}

static bool has_word(char **words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

static int set_words(char ***field, const char *text)
{
    AUTO_FREE char *copy = strdup(text ? text : "");
    size_t count = 0;
    char *rest = copy, *word;

    if (!copy || !(*field = calloc(strlen(copy) / 2 + 2, sizeof **field)))
        return -1;
    while ((word = strsep(&rest, ", ")))
        if (*word && !has_word(*field, word) && !((*field)[count++] = strdup(word)))
            return -1;
    return 0;
}

int setting_set(const struct setting_row *row, void *target, const char *text)
{
    void *field = field_of(row, target);
    int64_t number = row->standard;

    setting_free(row, target);
    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_LABEL:
        return set_text(field, text);
    case SETTING_URL:
        return set_url(field, text);
    case SETTING_HOST:
        if (!text || !host_id_normalize(text, field))
            *(char *)field = '\0';
        break;
    case SETTING_FLAG:
        *(bool *)field = row->standard;
        if (text)
            (void)to_flag(text, field); /* the text was checked before, so this cannot fail; the
                                           same for the next kinds */
        break;
    case SETTING_NUMBER:
        if (text)
            (void)to_number(text, &number);
        *(int *)field = (int)number;
        break;
    case SETTING_SIZE:
        *(uint64_t *)field = (uint64_t)row->standard;
        if (text)
            (void)to_size(text, field);
        break;
    case SETTING_PATTERNS:
        return set_words(field, text);
    }
    return 0;
}

static char *join(char *const *words)
{
    size_t size = 1;
    char *text;

    for (char *const *word = words; word && *word; word++)
        size += strlen(*word) + 1;
    text = calloc(1, size);
    for (char *const *word = words; text && word && *word; word++) {
        strcat(text, *word);
        if (word[1])
            strcat(text, ",");
    }
    return text;
}

char *setting_text(const struct setting_row *row, const void *target)
{
    const void *field = (const char *)target + row->offset;
    unsigned long long number = 0;
    char *text;

    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_URL:
    case SETTING_LABEL: {
        char *const *value = field;

        return strdup(*value ? *value : "");
    }
    case SETTING_HOST:
        return strdup(field);
    case SETTING_FLAG:
        /* also "off", because a file may say "on" */
        return strdup(*(const bool *)field ? "1" : "0");
    case SETTING_PATTERNS:
        return join(*(char *const *const *)field);
    case SETTING_NUMBER:
        number = (unsigned long long)*(const int *)field;
        break;
    case SETTING_SIZE:
        number = *(const uint64_t *)field;
        break;
    }
    return asprintf(&text, "%llu", number) < 0 ? NULL : text;
}

/* ---- names ---- */

static const char *const names[] = {
#define NAME(id, field, variable, ...) variable,
    RUN_SETTINGS(NAME) DASHBOARD_SETTINGS(NAME)
#undef NAME
};
#define NAMES (sizeof names / sizeof *names)

bool setting_known(const char *name)
{
    for (size_t i = 0; i < NAMES; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static size_t least(size_t one, size_t two, size_t three)
{
    size_t result = one < two ? one : two;

    return result < three ? result : three;
}

/* The number of letters to change, add or remove (Levenshtein distance). */
static size_t distance(const char *one, const char *other)
{
    size_t row[NAME_MOST + 1], width = strlen(other);

    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (; *one; one++) {
        size_t diagonal = row[0]++;

        for (size_t i = 0; i < width; i++) {
            size_t above = row[i + 1];

            row[i + 1] = least(above + 1, row[i] + 1, diagonal + (*one != other[i]));
            diagonal = above;
        }
    }
    return row[width];
}

const char *setting_nearest(const char *name)
{
    const char *nearest = NULL;
    size_t best = NEAR_MOST + 1;

    for (size_t i = 0; i < NAMES && strlen(name) <= NAME_MOST; i++) {
        size_t here = distance(name, names[i]);

        if (here < best) {
            best = here;
            nearest = names[i];
        }
    }
    return nearest;
}
