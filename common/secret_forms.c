#include "secret_forms.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

#define WORD_MAX 8 /* letters; a longer word counts as a secret */
#define GROWTH 12  /* the most bytes that one byte becomes in any form ("\u00e9", twice) */
#define URL_KEPT "-._~"
#define BASE64_COLUMN 76     /* the column where base64(1) breaks lines */
#define BASE64_PEM_COLUMN 64 /* the column where openssl(1) breaks lines */

struct forms {
    secret_form_sink *sink;
    void *context;
    char *out;  /* a buffer that is large enough for any form of the value */
    bool any;   /* accept every text that is long enough */
    bool found; /* at least one form was passed on */
};

/* ---- values that are not redacted ---- */

static bool is_trivial(const char *text, size_t length)
{
    char kinds[2] = {0, 0};
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        if ((count > 0 && text[i] == kinds[0]) || (count > 1 && text[i] == kinds[1]))
            continue;
        if (count == 2)
            return false;
        kinds[count++] = text[i];
    }
    return true;
}

/* A plain word, which output may contain by itself: "switch", "Restart", "DEBUG". */
static bool is_word(const char *text, size_t length)
{
    size_t upper = 0;

    if (length > WORD_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalpha((unsigned char)text[i]))
            return false;
        upper += isupper((unsigned char)text[i]) != 0;
    }
    return upper == 0 || upper == length || (upper == 1 && isupper((unsigned char)text[0]));
}

/* The name of a file. A random text in base64 that begins with a slash has capitals, a path
 * rarely. */
static bool is_path(const char *text, size_t length)
{
    size_t start = length > 0 && (text[0] == '~' || text[0] == '.') ? 1 : 0;

    if (start >= length || text[start] != '/')
        return false;
    for (size_t i = start; i < length; i++)
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            !strchr("/._-", text[i]))
            return false;
    return true;
}

static bool is_secret(const struct forms *forms, const char *text, size_t length)
{
    if (length < SECRET_FORM_MIN)
        return false;
    return forms->any ||
           !(is_trivial(text, length) || is_word(text, length) || is_path(text, length));
}

/* ---- passing forms on ---- */

/* Passes a text on; a long text in pieces, of which the last one ends with the text. */
static void give_plain(struct forms *forms, const char *text, size_t length, bool blanks)
{
    if (length < SECRET_FORM_MIN)
        return;
    forms->found = true;
    for (; length > SECRET_FORM_MAX; text += SECRET_FORM_MAX, length -= SECRET_FORM_MAX) {
        forms->sink(forms->context, text, SECRET_FORM_MAX, blanks);
        if (length < 2 * SECRET_FORM_MAX) {
            text += length - 2 * SECRET_FORM_MAX;
            length = 2 * SECRET_FORM_MAX;
        }
    }
    forms->sink(forms->context, text, length, blanks);
}

/* The length of the UTF-8 sequence at text. 0 if there is none; then *bad is the number of bytes
 * that are shown as one U+FFFD (table 3-7 of the Unicode standard). */
static size_t sequence(const unsigned char *text, size_t left, size_t *bad)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;

    *bad = 1;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf) {
        *bad = i;
        if (i >= left || text[i] < low || text[i] > high)
            return 0;
    }
    return length;
}

/* Passes a text on as a terminal shows it: without blanks around it, with one blank for a tab or
 * several blanks. */
static void give(struct forms *forms, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    AUTO_FREE char *shown = malloc(3 * length + 1);
    size_t size = 0;
    bool blanks = false;

    if (!shown)
        return;
    while (at < end) {
        size_t bad, count = *at < 0x80 ? 1 : sequence(at, (size_t)(end - at), &bad);

        if (*at == ' ' || *at == '\t') {
            blanks |= *at == '\t' || (size > 0 && shown[size - 1] == ' ');
            if (size > 0 && shown[size - 1] != ' ')
                shown[size++] = ' ';
        } else if (count == 0) {
            memcpy(shown + size, "\xef\xbf\xbd", 3);
            size += 3;
            count = bad;
            /* a terminal does not show controls */
        } else if (!(count == 2 && at[0] == 0xc2 && at[1] < 0xa0)) {
            memcpy(shown + size, at, count);
            size += count;
        }
        at += count;
    }
    while (size > 0 && shown[size - 1] == ' ')
        size--;
    if (size > 0)
        give_plain(forms, shown, size, blanks);
}

/* ---- encodings ---- */

/* Passes on what is in forms->out, if it differs from the text that it was made of. */
static void give_if_other(struct forms *forms, size_t size, const char *text, size_t length)
{
    if (size != length || memcmp(forms->out, text, length) != 0)
        give(forms, forms->out, size);
}

static size_t put_hex(char *to, const char *prefix, unsigned value, int digits, bool upper)
{
    const char *hex = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t size = strlen(prefix);

    memcpy(to, prefix, size);
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        to[size++] = hex[value >> shift & 15];
    return size;
}

/* Writes a character as "\u00e9"; beyond U+FFFF as two such escapes. */
static size_t put_json_unicode(char *to, const unsigned char *text, size_t count)
{
    uint32_t code = count == 2 ? text[0] & 0x1f : count == 3 ? text[0] & 0x0f : text[0] & 0x07;
    size_t size;

    for (size_t i = 1; i < count; i++)
        code = code << 6 | (text[i] & 0x3f);
    if (code < 0x10000)
        return put_hex(to, "\\u", code, 4, false);
    size = put_hex(to, "\\u", 0xd800 + ((code - 0x10000) >> 10), 4, false);
    return size + put_hex(to + size, "\\u", 0xdc00 + ((code - 0x10000) & 0x3ff), 4, false);
}

/* Writes the text with JSON's escapes to `out`; returns the size. ascii: escape other characters as
 * \u. slashes: escape slashes, too. */
static size_t json_escape(char *out, const char *text, size_t length, bool ascii, bool slashes)
{
    size_t size = 0, bad;

    for (size_t i = 0; i < length; i++) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t count = *at < 0x80 || !ascii ? 0 : sequence(at, length - i, &bad);

        if (count > 0) {
            size += put_json_unicode(out + size, at, count);
            i += count - 1;
            continue;
        }
        if (*at == '\t') {
            memcpy(out + size, "\\t", 2);
            size += 2;
            continue;
        }
        if (*at == '"' || *at == '\\' || (slashes && *at == '/'))
            out[size++] = '\\';
        out[size++] = (char)*at;
    }
    return size;
}

/* The text in JSON, and in JSON that is a string of JSON, as in a log of messages. */
static void give_json(struct forms *forms, const char *text, size_t length, bool ascii,
                      bool slashes)
{
    size_t size = json_escape(forms->out, text, length, ascii, slashes);
    AUTO_FREE char *once = size != length ? malloc(size) : NULL;

    give_if_other(forms, size, text, length);
    if (!once)
        return;
    memcpy(once, forms->out, size);
    give(forms, forms->out, json_escape(forms->out, once, size, false, slashes));
}

/* quotes: what becomes of " and of '; NULL: these stay. */
static void give_html(struct forms *forms, const char *text, size_t length,
                      const char *const quotes[2])
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        const char *as = text[i] == '&'    ? "&amp;"
                         : text[i] == '<'  ? "&lt;"
                         : text[i] == '>'  ? "&gt;"
                         : text[i] == '"'  ? quotes[0]
                         : text[i] == '\'' ? quotes[1]
                                           : NULL;
        size_t count = as ? strlen(as) : 1;

        memcpy(forms->out + size, as ? as : text + i, count);
        size += count;
    }
    give_if_other(forms, size, text, length);
}

/* Python's ascii(): "\xe9", "\u20ac". bytes: repr() of the bytes of UTF-8: "\xc3\xa9". */
static void give_python(struct forms *forms, const char *text, size_t length, bool bytes)
{
    size_t size = 0, bad;

    for (size_t i = 0; i < length; i++) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t count = *at < 0x80 || bytes ? 0 : sequence(at, length - i, &bad);

        if (count == 2 && *at <= 0xc3)
            size += put_hex(forms->out + size, "\\x",
                            (unsigned)(at[0] & 3) << 6 | (unsigned)(at[1] & 0x3f), 2, false);
        else if (count > 0 && count < 4)
            size += put_json_unicode(forms->out + size, at, count);
        else if (*at >= 0x80)
            size += put_hex(forms->out + size, "\\x", *at, 2, false);
        else if (*at == '\\')
            memcpy(forms->out + size, "\\\\", 2), size += 2;
        else
            forms->out[size++] = (char)*at;
        i += count > 0 && count < 4 ? count - 1 : 0;
    }
    give_if_other(forms, size, text, length);
}

/* kept: characters besides letters and digits that are not escaped. */
static void give_url(struct forms *forms, const char *text, size_t length, const char *kept,
                     bool plus, bool upper)
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < 0x80 && (isalnum(byte) || strchr(kept, byte)))
            forms->out[size++] = (char)byte;
        else if (plus && byte == ' ')
            forms->out[size++] = '+';
        else
            size += put_hex(forms->out + size, "%", byte, 2, upper);
    }
    give_if_other(forms, size, text, length);
}

/* Puts a backslash in front of each of these characters. first: characters that get a backslash
 * only at the beginning. */
static void give_backslashed(struct forms *forms, const char *text, size_t length,
                             const char *escaped, const char *first)
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        if (strchr(escaped, text[i]) || (i == 0 && strchr(first, text[i])))
            forms->out[size++] = '\\';
        forms->out[size++] = text[i];
    }
    give_if_other(forms, size, text, length);
}

/* A string of Nix: "${" has a meaning, "$" alone has none. */
static void give_nix(struct forms *forms, const char *text, size_t length)
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\' ||
            (text[i] == '$' && i + 1 < length && text[i + 1] == '{'))
            forms->out[size++] = '\\';
        forms->out[size++] = text[i];
    }
    give_if_other(forms, size, text, length);
}

/* Puts the text in single quotes, and replaces each single quote in it by `quote`. */
static void give_quoted(struct forms *forms, const char *text, size_t length, const char *quote)
{
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        size_t count = text[i] == '\'' ? strlen(quote) : 1;

        memcpy(forms->out + size, text[i] == '\'' ? quote : text + i, count);
        size += count;
    }
    give_if_other(forms, size, text, length);
}

/* Writes the base64 of `before` zero bytes and the text. Returns the size, with '='. */
static size_t base64(char *out, const char *text, size_t length, size_t before, bool of_urls)
{
    const char *digits = of_urls
                             ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                             : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t total = before + length, size = 0;

    for (size_t i = 0; i < total; i += 3) {
        uint32_t group = 0;

        for (size_t j = i; j < i + 3; j++)
            group = group << 8 | (j >= before && j < total ? (unsigned char)text[j - before] : 0u);
        for (int shift = 18; shift >= 0; shift -= 6)
            out[size++] = digits[group >> shift & 63];
    }
    for (size_t i = 0; i < (3 - total % 3) % 3; i++)
        out[size - 1 - i] = '=';
    return size;
}

/* Passes on the pieces between line breaks at multiples of column: of all digits, and of those
 * digits that depend only on the text. An LF may follow each line. */
static void give_columns(struct forms *forms, size_t size, size_t digits, size_t column)
{
    for (size_t i = 0; size > column && i < size; i += column) {
        size_t whole = size - i < column ? size - i : column;
        size_t own = digits > i ? digits - i : 0;

        give(forms, forms->out + i, whole);
        if (own < whole)
            give(forms, forms->out + i, own);
    }
}

/* Passes on the base64 of the text alone, and of any text that contains it: for each of the three
 * positions in a group of three bytes, without the digits that also depend on neighbours. */
static void give_base64(struct forms *forms, const char *text, size_t length, bool of_urls)
{
    size_t size = base64(forms->out, text, length, 0, of_urls);
    AUTO_FREE char *whole = malloc(size + 1);

    if (whole) { /* and that in a URL */
        memcpy(whole, forms->out, size);
        give_url(forms, whole, size, URL_KEPT, false, true);
        memcpy(forms->out, whole, size);
    }
    give(forms, forms->out, size);
    give_columns(forms, size, length * 8 / 6, BASE64_COLUMN);
    give_columns(forms, size, length * 8 / 6, BASE64_PEM_COLUMN);
    for (size_t before = 0; before < 3; before++) {
        size_t first = (before * 8 + 5) / 6, last = (before + length) * 8 / 6;

        base64(forms->out, text, length, before, of_urls);
        if (last > first)
            give(forms, forms->out + first, last - first);
    }
}

/* ---- a value ---- */

/* The bytes that the %q of bash's printf escapes. */
#define BASH_ESCAPED " \t!\"$&'()*,;<>?[\\]^`{|}"
#define ZSH_ESCAPED " \t\"#$&'()*;<=>?[\\]^`{|}"
#define FISH_ESCAPED " \t\"#$%&'()*;<>?[\\]`{|}~"
#define QUOTED_ESCAPED "\"$\\`" /* inside double quotes (declare -p) */
#define DOTENV_ESCAPED "\"$\\"
#define ANSI_ESCAPED "'\\" /* inside $'...', in Python's repr, and in single quotes of fish */

/* HTML, XML, and as Python, Go and JavaScript write them. */
static const char *const html_quotes[][2] = {{NULL, NULL},         {"&quot;", NULL},
                                             {"&quot;", "&apos;"}, {"&quot;", "&#x27;"},
                                             {"&quot;", "&#39;"},  {"&#34;", "&#39;"}};

static void give_encodings(struct forms *forms, const char *text, size_t length)
{
    give_json(forms, text, length, false, false);
    give_json(forms, text, length, true, false);
    give_json(forms, text, length, false, true);
    give_json(forms, text, length, true, true);
    for (int upper = 0; upper < 2; upper++) {
        give_url(forms, text, length, URL_KEPT, false, upper);
        give_url(forms, text, length, URL_KEPT "/", false, upper);
        give_url(forms, text, length, URL_KEPT "!*'()", false, upper);
        give_url(forms, text, length, URL_KEPT, true, upper);
    }
    give_backslashed(forms, text, length, BASH_ESCAPED, "#~");
    give_backslashed(forms, text, length, QUOTED_ESCAPED, "");
    give_backslashed(forms, text, length, ANSI_ESCAPED, "");
    give_backslashed(forms, text, length, ANSI_ESCAPED "!", ""); /* zsh */
    give_quoted(forms, text, length, "'\\''");
    give_quoted(forms, text, length, "'\"'\"'");
    give_backslashed(forms, text, length, ZSH_ESCAPED, "~");
    give_backslashed(forms, text, length, FISH_ESCAPED, "");
    give_backslashed(forms, text, length, DOTENV_ESCAPED, "");
    give_quoted(forms, text, length, "''"); /* YAML, SQL */
    give_nix(forms, text, length);
    for (size_t i = 0; i < sizeof html_quotes / sizeof *html_quotes; i++)
        give_html(forms, text, length, html_quotes[i]);
    for (int bytes = 0; bytes < 2; bytes++)
        give_python(forms, text, length, bytes);
}

/* Of a line `"key": "value",` the value: other output may show only this. */
static const char *json_member(const char *text, size_t *length)
{
    const char *end = text + *length, *at = text, *value;

    if (*at != '"' || !(at = memchr(at + 1, '"', (size_t)(end - at - 1))))
        return text;
    for (at++; at < end && (*at == ' ' || *at == ':'); at++)
        ;
    if (at >= end || *at != '"' || at[-1] == '"')
        return text;
    value = at + 1;
    while (end > value && (end[-1] == ',' || end[-1] == ' '))
        end--;
    if (end > value && end[-1] == '"')
        end--;
    *length = (size_t)(end - value);
    return value;
}

/* The next part that has no control characters except tabs; moves *rest on. NULL: no part is
 * left. */
static const char *next_line(const char **rest, size_t *length)
{
    static const char controls[] = "\1\2\3\4\5\6\7\10\n\13\14\r\16\17\20\21\22\23\24\25\26\27\30\31"
                                   "\32\33\34\35\36\37\177";
    const char *line = *rest + strspn(*rest, controls);

    *length = strcspn(line, controls);
    *rest = line + *length;
    line += strspn(line, " \t");
    *length = (size_t)(*rest - line);
    while (*length > 0 && strchr(" \t", line[*length - 1]))
        --*length;
    return line < *rest || **rest ? line : NULL;
}

static bool has_lines(const char *value)
{
    size_t length;

    if (!next_line(&value, &length))
        return false;
    return next_line(&value, &length) != NULL;
}

static void give_lines(struct forms *forms, const char *value)
{
    const char *line;
    size_t length;

    while ((line = next_line(&value, &length))) {
        line = json_member(line, &length);
        if (!is_secret(forms, line, length))
            continue;
        give(forms, line, length);
        give_encodings(forms, line, length);
    }
}

/* Replaces "\n" and similar escapes by their characters. *out must be as large as text. */
static void unescape(const char *text, char *out)
{
    for (; *text; text++)
        if (text[0] == '\\' && text[1]) {
            char c = *++text;

            *out++ = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
        } else {
            *out++ = *text;
        }
    *out = '\0';
}

/* A private key is one line in JSON, but programs print it as several lines. */
static void give_unescaped(struct forms *forms, const char *value)
{
    AUTO_FREE char *plain = strstr(value, "\\n") ? malloc(strlen(value) + 1) : NULL;

    if (!plain)
        return;
    unescape(value, plain);
    give_lines(forms, plain);
}

static bool all_forms(const char *value, bool any, secret_form_sink *sink, void *context)
{
    size_t length = strlen(value);
    struct forms forms = {.sink = sink, .context = context, .any = any};
    const char *rest = value, *line;

    forms.out = malloc(GROWTH * length + 16);
    if (!forms.out)
        return false;
    give_lines(&forms, value);
    give_unescaped(&forms, value);
    line = has_lines(value) ? value : next_line(&rest, &length);
    if (line && forms.found)
        for (int of_urls = 0; of_urls < 2; of_urls++)
            give_base64(&forms, line, length, of_urls);
    free(forms.out);
    return forms.found;
}

bool secret_forms(const char *value, secret_form_sink *sink, void *context)
{
    return all_forms(value, false, sink, context);
}

bool secret_forms_of_any(const char *value, secret_form_sink *sink, void *context)
{
    return all_forms(value, true, sink, context);
}
