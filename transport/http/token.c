/* Reads and rotates the tokens. A token is one line of visible ASCII: anything else could end the
   header that it is sent in. */
#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"
#include "../../common/system.h"

static const char prefix[] = "NIXFLEET_TOKEN=";

/* The first line of text without prefix, quotes and blanks around it, if it can stand in a header;
 * else NULL. */
static char *clean_token(const char *text)
{
    size_t length;

    text += strspn(text, " \t\r\n");
    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    if (*text == '"' || *text == '\'')
        text++;
    length = strcspn(text, " \t\r\n\"'");
    if (length == 0 || length > TOKEN_MAX)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if (text[i] < '!' || text[i] > '~')
            return NULL;
    return strndup(text, length);
}

static char *token_from_file(const char *path)
{
    AUTO_FREE char *content = NULL;
    char *token;
    size_t size;

    if (!path || !(content = read_file(path, (size_t)2 * TOKEN_MAX, &size)))
        return NULL;
    token = clean_token(content);
    wipe(content, size);
    return token;
}

static void read_files(struct token_set *tokens)
{
    free(tokens->file);
    tokens->file = token_from_file(tokens->config->token_file);
    if (!tokens->file)
        tokens->file = token_from_file(tokens->config->token_cache);
}

void token_set_load(struct token_set *tokens, const struct config *config)
{
    *tokens = (struct token_set){.config = config};
    read_files(tokens);
    if (config->token)
        tokens->variable = clean_token(config->token);
}

void token_set_free(struct token_set *tokens)
{
    free(tokens->file);
    free(tokens->variable);
    tokens->file = tokens->variable = NULL;
}

const char *token_set_current(const struct token_set *tokens)
{
    if (tokens->use_variable && tokens->variable)
        return tokens->variable;
    return tokens->file ? tokens->file : tokens->variable;
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
