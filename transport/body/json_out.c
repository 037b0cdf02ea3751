/* Writes JSON straight into one buffer. */
#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/rfc3339.h"
#include "../../common/system.h"
#include "../../common/utf8.h"

#define VECTOR 16 /* bytes that the compiler looks at together */

/* ---- the buffer ---- */

static bool resize(struct json_out *out, size_t room)
{
    char *grown = realloc(out->bytes, room);

    if (!grown)
        return false;
    out->bytes = grown;
    out->room = room;
    return true;
}

static bool reserve(struct json_out *out, size_t more)
{
    size_t room = out->room ? out->room : 4096;

    if (out->failed)
        return false;
    if (out->room - out->size >= more)
        return true;
    while (room - out->size < more)
        room *= 2;
    out->failed = !resize(out, room);
    return !out->failed;
}

static void put(struct json_out *out, const char *bytes, size_t size)
{
    if (reserve(out, size)) {
        memcpy(out->bytes + out->size, bytes, size);
        out->size += size;
    }
}

void json_reserve(struct json_out *out, size_t size)
{
    if (out->room < size)
        (void)resize(out, size);
}

void json_reset(struct json_out *out)
{
    out->size = 0;
    out->failed = out->comma = false;
}

void json_free(struct json_out *out)
{
    free(out->bytes);
    *out = (struct json_out){0};
}

/* ---- members ---- */

static void member(struct json_out *out, const char *key)
{
    if (out->comma)
        put(out, ",", 1);
    if (key) { /* keys are ours and need no escapes */
        put(out, "\"", 1);
        put(out, key, strlen(key));
        put(out, "\":", 2);
    }
    out->comma = true;
}

void json_open(struct json_out *out, const char *key, char bracket)
{
    member(out, key);
    put(out, &bracket, 1);
    out->comma = false;
}

void json_close(struct json_out *out, char bracket)
{
    put(out, &bracket, 1);
    out->comma = true;
}

void json_int(struct json_out *out, const char *key, int64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%lld", (long long)value);

    member(out, key);
    put(out, text, (size_t)length);
}

void json_number(struct json_out *out, const char *key, double value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.2f", value >= 0 && value <= 1e9 ? value : 0.0);

    member(out, key);
    put(out, text, (size_t)length);
}

/* ---- strings ---- */

/* Writes the escape of a byte that cannot stand as it is. Returns how long it is. */
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

static bool plain(unsigned char byte)
{
    return (byte >= 0x20) & (byte < 0x7f) & (byte != '"') & (byte != '\\');
}

/* Copies up to the first byte that is not plain. */
static void copy_plain(char **to, const unsigned char **from, const unsigned char *end)
{
    const unsigned char *at = *from;
    char *out = *to;

    while (end - at >= VECTOR) {
        unsigned char all = 1;

        for (int i = 0; i < VECTOR; i++)
            all &= plain(at[i]);
        memcpy(out, at, VECTOR);
        if (!all)
            break;
        out += VECTOR;
        at += VECTOR;
    }
    while (at < end && plain(*at))
        *out++ = (char)*at++;
    *to = out;
    *from = at;
}

void json_text_piece(struct json_out *out, const char *text, size_t length)
{
    const unsigned char *from = (const unsigned char *)text, *end = from + length;
    char *to;

    if (!reserve(out, length * 6))
        return;
    to = out->bytes + out->size;
    while (from < end) {
        size_t sequence;

        copy_plain(&to, &from, end);
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

void json_text_escaped(struct json_out *out, const char *text, size_t length)
{
    put(out, text, length);
}

void json_text_begin(struct json_out *out, const char *key)
{
    member(out, key);
    put(out, "\"", 1);
}

void json_text_end(struct json_out *out)
{
    put(out, "\"", 1);
}

void json_string(struct json_out *out, const char *key, const char *text, size_t length)
{
    json_text_begin(out, key);
    json_text_piece(out, text, length);
    json_text_end(out);
}

void json_time(struct json_out *out, const char *key, int64_t ms)
{
    char text[RFC3339_SIZE];

    rfc3339_format(ms, text);
    json_string(out, key, text, strlen(text));
}

/* ---- what several bodies have in common ---- */

void json_progress(struct json_out *out, const struct progress *progress)
{
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {
        {"built", progress->built},
        {"building", progress->building},
        {"to_build", progress->to_build},
        {"failed", progress->failed},
        {"fetched", progress->fetched},
        {"to_fetch", progress->to_fetch},
        {"fetched_bytes", progress->fetched_bytes},
        {"to_fetch_bytes", progress->to_fetch_bytes},
        {"tests_passed", progress->tests_passed},
        {"tests_total", progress->tests_total},
    };
    bool any = progress->current[0] != '\0';

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        any |= counts[i].value >= 0;
    if (!any)
        return;
    json_open(out, "progress", '{');
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value >= 0)
            json_int(out, counts[i].key, counts[i].value);
    if (progress->current[0])
        json_string(out, "current", progress->current,
                    strnlen(progress->current, sizeof progress->current));
    json_close(out, '}');
}

void json_exit(struct json_out *out, bool by_signal, int code)
{
    json_open(out, "exit", '{');
    if (by_signal) {
        char name[SIGNAL_NAME_SIZE];

        if (!signal_name(code, name))
            strcpy(name, "UNKNOWN");
        json_string(out, "signal", name, strlen(name));
    } else {
        json_int(out, "code", code);
    }
    json_close(out, '}');
}
