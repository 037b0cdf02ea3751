#include "dashboard/auth/password.h"

#include <readpassphrase.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/system.h"

#define PASSWORD_SIZE 256
#define TRIES 3

char *password_read_line(const char *prompt)
{
    char *line = NULL;
    size_t capacity = 0;

    if (isatty(STDIN_FILENO)) {
        fputs(prompt, stderr);
        fflush(stderr);
    }
    if (getline(&line, &capacity, stdin) <= 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

/* readpassphrase(3) restores the terminal's echo in every case, also after a signal. */
static char *ask_twice(const char **why)
{
    char first[PASSWORD_SIZE], second[PASSWORD_SIZE], *result = NULL;

    *why = "the passwords differ";
    for (int i = 0; i < TRIES && !result; i++) {
        if (!readpassphrase("Password: ", first, sizeof first, RPP_REQUIRE_TTY) ||
            !readpassphrase("Again: ", second, sizeof second, RPP_REQUIRE_TTY)) {
            *why = "no password was given";
            break;
        }
        if (strcmp(first, second) == 0)
            result = strdup(first);
        else
            fputs("The passwords differ. Once more:\n", stderr);
    }
    wipe(first, sizeof first);
    wipe(second, sizeof second);
    return result;
}

char *password_read(const char **why)
{
    char *line;

    if (isatty(STDIN_FILENO))
        return ask_twice(why);
    line = password_read_line("");
    if (!line || !*line) {
        free(line);
        *why = "no password was given";
        return NULL;
    }
    return line;
}
