/* The EnvironmentFile syntax, read character by character, because quotes may span lines. */
#include "envfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at, *end;
    char *value; /* as large as the whole text, so every value fits */
    size_t length;
};

static bool is_name_character(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (!first && c >= '0' && c <= '9');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_line(struct reader *r)
{
    while (r->at < r->end && *r->at != '\n')
        r->at++;
    if (r->at < r->end)
        r->at++;
}

static void put(struct reader *r, char c)
{
    if (c != '\0') /* a variable cannot hold a NUL */
        r->value[r->length++] = c;
}

/* A backslash continues the line at its end; before any other character, it stands for that
 * character. */
static void read_escaped(struct reader *r)
{
    if (r->at >= r->end)
        return;
    if (*r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n')
        r->at++;
    if (*r->at != '\n')
        put(r, *r->at);
    r->at++;
}

static void read_quoted(struct reader *r, char quote)
{
    while (r->at < r->end && *r->at != quote) {
        char c = *r->at++;

        if (c != '\\' || quote == '\'')
            put(r, c);
        else if (r->at < r->end && strchr("\"\\$`\n", *r->at))
            read_escaped(r);
        else
            put(r, '\\');
    }
    if (r->at < r->end)
        r->at++;
}

static void read_value(struct reader *r)
{
    /* up to the last character that is not an unquoted blank: blanks at the end of a line are
     * dropped */
    size_t kept = 0;

    r->length = 0;
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
    while (r->at < r->end && *r->at != '\n') {
        char c = *r->at++;

        if (c == '\\') {
            read_escaped(r);
        } else if (c == '\'' || c == '"') {
            read_quoted(r, c);
        } else {
            put(r, c);
            if (is_blank(c))
                continue;
        }
        kept = r->length;
    }
    r->value[kept] = '\0';
}

static size_t line_number(const char *text, const char *at)
{
    size_t number = 1;

    for (; text < at; text++)
        number += *text == '\n';
    return number;
}

/* Notes the line that begins at `start`, unless it is blank or a comment. */
static void note_wrong(const struct reader *r, const char *text, const char *start, size_t *wrong)
{
    if (*wrong == 0 && start < r->end && !strchr("\n#;", *start))
        *wrong = line_number(text, start);
}

int envfile_parse(const char *text, size_t size, envfile_set *set, void *context,
                  size_t *wrong_line)
{
    struct reader r = {.at = text, .end = text + size, .value = malloc(size + 1)};
    char name[128];
    int result = 0;

    *wrong_line = 0;
    if (!r.value)
        return -1;
    while (r.at < r.end && result == 0) {
        const char *start;
        size_t length = 0;

        while (r.at < r.end && is_blank(*r.at))
            r.at++;
        start = r.at;
        while (r.at < r.end && length < sizeof name - 1 && is_name_character(*r.at, length == 0))
            name[length++] = *r.at++;
        name[length] = '\0';
        while (r.at < r.end && is_blank(*r.at))
            r.at++;
        if (length > 0 && r.at < r.end && *r.at == '=') {
            r.at++;
            read_value(&r);
            result = set(context, name, r.value);
        } else {
            note_wrong(&r, text, start, wrong_line);
        }
        skip_line(&r);
    }
    free(r.value);
    return result;
}
