/* The tokens of the host: that of the token file or cache, and that of NIXFLEET_TOKEN. The file
   comes first, because the agent renews it. If the dashboard does not accept a token, the other one
   is tried, then the file is read again. */
#ifndef NIXFLEET_TOKEN_H
#define NIXFLEET_TOKEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../../common/token.h"
#include "../../config/config.h"

#define TOKEN_WHY_SIZE 320

struct token_set {
    const struct config *config; /* valid until token_set_free */
    char *file, *variable;       /* NULL: none */
    bool use_variable;
    bool pipe;                /* the token file is a pipe, which can be read only once */
    int refused;              /* how often in sequence a token was not accepted */
    struct stat seen;         /* of the token file when it was read */
    char why[TOKEN_WHY_SIZE]; /* why the token file has no token; "": it has one */
};

/* Reads what can be read without waiting. If this sets tokens->pipe, the token of the pipe is still
 * missing. */
void token_set_load(struct token_set *tokens, const struct config *config);
void token_set_free(struct token_set *tokens);
/* Reads the pipe to its end, at most for timeout_ms, or until ended() returns true because no
 * process waits any more (may be NULL). Then the token is there, or tokens->why has the reason. */
void token_set_read_pipe(struct token_set *tokens, int timeout_ms, bool (*ended)(void *context),
                         void *context);
/* Sets the token that another process has read from the pipe; NULL: there was none, for the reason
 * why. */
void token_set_take(struct token_set *tokens, const char *token, const char *why);
/* Reads the token file if it has changed. True if there is another token now. */
bool token_set_refresh(struct token_set *tokens);
/* The token to use now; NULL: none. It is valid until the next call of token_set_refused or
 * token_set_refresh. */
const char *token_set_current(const struct token_set *tokens);
/* True if a token is configured but could not be read. Then nothing may be sent. */
bool token_set_broken(const struct token_set *tokens);
/* To be called when the dashboard did not accept the token (401, 403): selects another one, and
   reads the file again. False if all tokens have been tried since the last token_set_accepted. */
bool token_set_refused(struct token_set *tokens);
/* To be called when the dashboard accepted the token. */
void token_set_accepted(struct token_set *tokens);

#endif
