#include "token.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system.h"

static const char name[] = "NIXFLEET_TOKEN";
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

struct line {
    const char *text;
    size_t length;
};

static struct line trimmed(const char *text, size_t length)
{
    while (length > 0 && strchr(" \t\r", *text))
        text++, length--;
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        length--;
    return (struct line){text, length};
}

/* Reads the next line that is not empty. False if no line is left. */
static bool next_line(const char **text, const char *end, struct line *line)
{
    while (*text < end) {
        const char *lf = memchr(*text, '\n', (size_t)(end - *text));

        *line = trimmed(*text, (size_t)((lf ? lf : end) - *text));
        *text = lf ? lf + 1 : end;
        if (line->length > 0 && *line->text != '#')
            return true;
    }
    return false;
}

/* Splits a line NAME=value, and removes quotes around the value. False for any other line: an '='
 * at the end belongs to a token in base64. */
static bool assignment(struct line line, struct line *variable, struct line *value)
{
    size_t length;

    if (line.length > 7 && strncmp(line.text, "export", 6) == 0 && strchr(" \t", line.text[6]))
        line = trimmed(line.text + 6, line.length - 6);
    for (length = 0; length < line.length && strchr(letters, line.text[length]); length++)
        ;
    if (length == 0 || length == line.length || line.text[length] != '=')
        return false;
    *variable = (struct line){line.text, length};
    *value = trimmed(line.text + length + 1, line.length - length - 1);
    if (value->length >= 2 && strchr("\"'", value->text[0]) &&
        value->text[value->length - 1] == value->text[0])
        *value = (struct line){value->text + 1, value->length - 2};
    return strspn(value->text, "=") < value->length || length == sizeof name - 1;
}

/* A line that may be another service's: a user with a password, an address, a program's text. */
static bool is_foreign(struct line line)
{
    for (size_t i = 0; i < line.length; i++)
        if (strchr(":;,<>(){}[]$`|\\", line.text[i]))
            return true;
    return false;
}

/* Accepts visible ASCII only: another character could end the header that carries the token. */
static char *checked(struct line token, const char **why)
{
    *why = token.length == 0 ? "there is no token in it" : "the content is not a token";
    if (token.length == 0 || token.length > TOKEN_MAX)
        return NULL;
    for (size_t i = 0; i < token.length; i++)
        if (token.text[i] < '!' || token.text[i] > '~' || strchr("\"'", token.text[i]))
            return NULL;
    *why = "out of memory";
    return strndup(token.text, token.length);
}

char *token_of_variable(const char *text, const char **why)
{
    return checked(trimmed(text, strlen(text)), why);
}

char *token_of_text(const char *text, size_t size, const char **why)
{
    const char *at = text, *end = text + size;
    struct line line, variable, value, found = {NULL, 0}, bare = {NULL, 0};
    size_t settings = 0, others = 0;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        at += 3; /* skips a byte order mark */
    while (next_line(&at, end, &line))
        if (assignment(line, &variable, &value)) {
            settings++;
            if (variable.length == sizeof name - 1 &&
                strncmp(variable.text, name, variable.length) == 0)
                found = value;
        } else {
            others++;
            bare = line;
        }
    if (found.text && others == 0)
        return checked(found, why);
    *why = "the content is not a token";
    if (settings == 0 && others <= 1)
        return is_foreign(bare) ? NULL : checked(bare, why);
    *why = settings > 0 && others == 0 ? "there is no NIXFLEET_TOKEN in it"
                                       : "the content is neither one token nor settings";
    return NULL;
}

char *token_read(int fd, const char **why)
{
    char text[TOKEN_FILE_MAX + 1];
    size_t size = 0;
    ssize_t n = 1;
    char *token;

    while (size < sizeof text && (n = read(fd, text + size, sizeof text - size)) > 0)
        size += (size_t)n;
    if (n < 0) {
        *why = strerror(errno);
        return NULL;
    }
    *why = "it is too large for a token";
    token = size < sizeof text ? token_of_text(text, size, why) : NULL;
    wipe(text, sizeof text);
    return token;
}
