/* Reads and rotates the tokens. */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../common/io.h"
#include "../../common/system.h"

#define STEP_MS 50 /* between two looks at the pipe, and whether a process still waits */

static void explain(struct token_set *tokens, const char *why)
{
    snprintf(tokens->why, sizeof tokens->why, "%s: %s", tokens->config->token_file, why);
}

static void read_token_file(struct token_set *tokens)
{
    const char *path = tokens->config->token_file, *why = "it is neither a file nor a pipe";
    AUTO_CLOSE int fd = -1;

    tokens->why[0] = '\0';
    if (!path)
        return;
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &tokens->seen) < 0) {
        explain(tokens, strerror(errno));
        return;
    }
    tokens->pipe = S_ISFIFO(tokens->seen.st_mode);
    if (tokens->pipe)
        return;
    if (S_ISDIR(tokens->seen.st_mode))
        why = strerror(EISDIR);
    if (S_ISREG(tokens->seen.st_mode))
        tokens->file = token_read(fd, &why);
    if (!tokens->file)
        explain(tokens, why);
}

/* Reads the agent's own file; a missing file is not a problem. */
static void read_cache(struct token_set *tokens)
{
    const char *path = tokens->config->token_cache, *why;
    AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;

    if (is_file(fd))
        tokens->file = token_read(fd, &why);
}

static void read_files(struct token_set *tokens)
{
    if (tokens->pipe)
        return;
    free(tokens->file);
    tokens->file = NULL;
    read_token_file(tokens);
    if (!tokens->file && !tokens->pipe)
        read_cache(tokens);
}

void token_set_load(struct token_set *tokens, const struct config *config)
{
    const char *why;

    *tokens = (struct token_set){.config = config};
    read_files(tokens);
    if (config->token)
        tokens->variable = token_of_variable(config->token, &why);
}

void token_set_free(struct token_set *tokens)
{
    free(tokens->file);
    free(tokens->variable);
    tokens->file = tokens->variable = NULL;
}

/* ---- a pipe ---- */

void token_set_take(struct token_set *tokens, const char *token, const char *why)
{
    free(tokens->file);
    tokens->file = token ? strdup(token) : NULL;
    tokens->why[0] = '\0';
    if (!tokens->file)
        explain(tokens, why);
}

void token_set_read_pipe(struct token_set *tokens, int timeout_ms, bool (*ended)(void *context),
                         void *context)
{
    char text[TOKEN_FILE_MAX + 1];
    size_t size = 0;
    int64_t until_ms = monotonic_ms() + timeout_ms;
    const char *why = "nothing came in time";
    AUTO_CLOSE int fd =
        open(tokens->config->token_file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    bool whole = false;

    while (fd >= 0 && !whole && monotonic_ms() < until_ms && !(ended && ended(context))) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&one, 1, STEP_MS) > 0 ? read(fd, text + size, sizeof text - size) : -1;

        if (n > 0)
            size += (size_t)n;
        whole = n == 0 || size == sizeof text;
    }
    if (whole) {
        char *token = size < sizeof text ? token_of_text(text, size, &why) : NULL;

        token_set_take(tokens, token, size < sizeof text ? why : "it is too large for a token");
        free(token);
    } else {
        explain(tokens, fd < 0 ? strerror(errno) : why);
    }
    wipe(text, sizeof text);
}

/* ---- use ---- */

bool token_set_refresh(struct token_set *tokens)
{
    const char *path = tokens->config->token_file;
    AUTO_FREE char *before = NULL;
    struct stat now;

    if (!path || tokens->pipe || stat(path, &now) < 0 ||
        (now.st_dev == tokens->seen.st_dev && now.st_ino == tokens->seen.st_ino &&
         now.st_size == tokens->seen.st_size && now.st_mtim.tv_sec == tokens->seen.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == tokens->seen.st_mtim.tv_nsec))
        return false;
    before = tokens->file;
    tokens->file = NULL;
    read_files(tokens);
    return tokens->file && (!before || strcmp(before, tokens->file) != 0);
}

const char *token_set_current(const struct token_set *tokens)
{
    if (tokens->use_variable && tokens->variable)
        return tokens->variable;
    return tokens->file ? tokens->file : tokens->variable;
}

bool token_set_broken(const struct token_set *tokens)
{
    return tokens->why[0] && !token_set_current(tokens);
}

bool token_set_refused(struct token_set *tokens)
{
    bool another = tokens->file && tokens->variable && strcmp(tokens->file, tokens->variable) != 0;

    tokens->refused++;
    tokens->use_variable = another && !tokens->use_variable;
    if (tokens->refused > 1 || !another)
        read_files(tokens);
    return another && tokens->refused == 1;
}

void token_set_accepted(struct token_set *tokens)
{
    tokens->refused = 0;
}
