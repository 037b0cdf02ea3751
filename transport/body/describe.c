#include "describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"

/* Joins the words with blanks. The caller frees the text. NULL when out of memory. */
static char *join(char *const *argv, size_t *size)
{
    char *command = NULL;
    FILE *out = open_memstream(&command, size);

    if (!out)
        return NULL;
    for (char *const *word = argv; word && *word; word++)
        fprintf(out, "%s%s", word == argv ? "" : " ", *word);
    if (fclose(out) == 0)
        return command;
    free(command);
    return NULL;
}

static void put_redacted(struct text *body, const char *key, const char *text, size_t length,
                         struct redactor *redactor)
{
    const char *clean = redactor ? redact_text(redactor, text, length, &length) : text;

    json_text_begin(body, key);
    if (length <= DESCRIBE_COMMAND_MAX) {
        text_escape(body, clean, length);
    } else {
        for (length = DESCRIBE_COMMAND_MAX; length > 0 && (clean[length] & 0xc0) == 0x80;)
            length--;
        text_escape(body, clean, length);
        text_escape(body, "\xe2\x80\xa6", 3);
    }
    json_text_end(body);
}

static void put_argv(struct text *body, const struct run_info *info, struct redactor *redactor)
{
    json_open(body, "argv", '[');
    for (char **word = info->argv; word && *word; word++)
        put_redacted(body, NULL, *word, strlen(*word), redactor);
    json_close(body, ']');
}

/* Returns the length of the command in bytes. */
static size_t put_run(struct text *body, const struct run_info *info, struct redactor *redactor)
{
    size_t size = 0;
    AUTO_FREE char *command = join(info->argv, &size);

    if (command)
        put_redacted(body, "command", command, size, redactor);
    if (info->name[0])
        put_redacted(body, "name", info->name, strlen(info->name), redactor);
    json_time(body, "started", info->started_ms);
    return size;
}

void describe_run(struct text *body, const struct run_info *info, struct redactor *redactor)
{
    (void)put_run(body, info, redactor);
}

void describe_whole(struct text *body, const struct run_info *info, struct redactor *redactor)
{
    if (put_run(body, info, redactor) <= DESCRIBE_COMMAND_MAX)
        put_argv(body, info, redactor);
    if (info->user[0])
        json_string(body, "user", info->user, strlen(info->user));
    json_int(body, "cols", info->cols);
    json_int(body, "rows", info->rows);
}
