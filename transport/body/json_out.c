/* Members of JSON objects and lists. */
#include "json_out.h"

#include <stdio.h>
#include <string.h>

#include "../../common/rfc3339.h"
#include "../../common/system.h"

/* ---- members ---- */

static void member(struct text *out, const char *key)
{
    text_comma(out);
    if (key) { /* our keys need no escapes */
        text_add(out, "\"", 1);
        text_puts(out, key);
        text_add(out, "\":", 2);
    }
}

void json_open(struct text *out, const char *key, char bracket)
{
    member(out, key);
    text_add(out, &bracket, 1);
}

void json_close(struct text *out, char bracket)
{
    text_add(out, &bracket, 1);
}

void json_int(struct text *out, const char *key, int64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%lld", (long long)value);

    member(out, key);
    text_add(out, text, (size_t)length);
}

void json_number(struct text *out, const char *key, double value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.2f", value >= 0 && value <= 1e9 ? value : 0.0);

    member(out, key);
    text_add(out, text, (size_t)length);
}

/* ---- strings ---- */

void json_raw(struct text *out, const char *key, const char *json)
{
    member(out, key);
    text_puts(out, json);
}

void json_text_begin(struct text *out, const char *key)
{
    member(out, key);
    text_add(out, "\"", 1);
}

void json_text_end(struct text *out)
{
    text_add(out, "\"", 1);
}

void json_string(struct text *out, const char *key, const char *text, size_t length)
{
    json_text_begin(out, key);
    text_escape(out, text, length);
    json_text_end(out);
}

void json_time(struct text *out, const char *key, int64_t ms)
{
    char text[RFC3339_SIZE];

    rfc3339_format(ms, text);
    json_string(out, key, text, strlen(text));
}

/* ---- what several bodies have in common ---- */

#define KEYED_COUNT(name) {#name, progress->name},

void json_progress(struct text *out, const struct progress *progress)
{
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {PROGRESS_COUNTS(KEYED_COUNT)};
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

void json_exit(struct text *out, bool by_signal, int code)
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
