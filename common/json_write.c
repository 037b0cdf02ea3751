#include "common/json_write.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define VECTOR 16 /* bytes that the compiler's vector code checks at once */

/* ---- the buffer ---- */

static bool resize(struct text *text, size_t capacity)
{
    char *grown = realloc(text->bytes, capacity);

    if (!grown)
        return false;
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

static bool reserve(struct text *text, size_t more)
{
    size_t capacity = text->capacity ? text->capacity : 256;

    if (text->failed)
        return false;
    if (text->capacity - text->size >= more)
        return true;
    while (capacity - text->size < more)
        capacity *= 2;
    text->failed = !resize(text, capacity);
    return !text->failed;
}

void text_reserve(struct text *text, size_t size)
{
    if (text->capacity < size)
        (void)resize(text, size);
}

void text_reset(struct text *text)
{
    text->size = 0;
    text->failed = false;
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

void text_add(struct text *text, const char *bytes, size_t size)
{
    if (size > 0 && reserve(text, size)) {
        memcpy(text->bytes + text->size, bytes, size);
        text->size += size;
    }
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (length > 0)
        text_add(text, buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
}

void text_comma(struct text *text)
{
    char last = text->size ? text->bytes[text->size - 1] : '{';

    if (last != '{' && last != '[')
        text_puts(text, ",");
}

/* ---- strings ---- */

/* Writes the escape of a byte that must not stand in a string. Returns its length. */
static size_t escape(char *to, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    const char *named = byte == '"'    ? "\\\""
                        : byte == '\\' ? "\\\\"
                        : byte == '\n' ? "\\n"
                        : byte == '\t' ? "\\t"
                        : byte == '\r' ? "\\r"
                                       : NULL;

    if (named) {
        memcpy(to, named, 2);
        return 2;
    }
    memcpy(to, "\\u00", 4);
    to[4] = hex[byte >> 4];
    to[5] = hex[byte & 15];
    return 6;
}

static inline bool plain(unsigned char byte, bool markup)
{
    return (byte >= 0x20) & (byte < 0x7f) & (byte != '"') & (byte != '\\') &
           ((byte != '<') | !markup);
}

/* Copies bytes up to the first one that may need an escape. */
static inline void copy_plain(char **to, const unsigned char **from, const unsigned char *end,
                              bool markup)
{
    const unsigned char *at = *from;
    char *out = *to;

    while (end - at >= VECTOR) {
        unsigned char all = 1;

        for (int i = 0; i < VECTOR; i++)
            all &= plain(at[i], markup);
        memcpy(out, at, VECTOR);
        if (!all)
            break;
        out += VECTOR;
        at += VECTOR;
    }
    while (at < end && plain(*at, markup))
        *out++ = (char)*at++;
    *to = out;
    *from = at;
}

/* markup is a constant in each caller, so the compiler makes a loop for each value. */
static inline void escape_all(struct text *out, const char *text, size_t length, bool markup)
{
    const unsigned char *from = (const unsigned char *)text, *end = from + length;
    char *to;

    if (!reserve(out, length * 6))
        return;
    to = out->bytes + out->size;
    while (from < end) {
        size_t sequence;

        copy_plain(&to, &from, end, markup);
        if (from == end)
            break;
        if (*from < 0x80) {
            to += escape(to, *from++);
        } else if ((sequence = utf8_length((const char *)from, (size_t)(end - from)))) {
            memcpy(to, from, sequence);
            to += sequence;
            from += sequence;
        } else {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            from++;
        }
    }
    out->size = (size_t)(to - out->bytes);
}

void text_escape(struct text *text, const char *bytes, size_t size)
{
    escape_all(text, bytes, size, false);
}

void text_escape_markup(struct text *text, const char *bytes, size_t size)
{
    escape_all(text, bytes, size, true);
}
