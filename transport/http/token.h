/* The host's tokens: the one in the token file or cache, and the one of NIXFLEET_TOKEN. The file
   comes first, because the agent renews it; when the dashboard does not accept the one in use, the
   other is tried, then the file is read again. */
#ifndef NIXFLEET_TOKEN_H
#define NIXFLEET_TOKEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../../common/token.h"
#include "../../config/config.h"

#define TOKEN_WHY_SIZE 320

struct token_set {
    const struct config *config; /* outlives the set */
    char *file, *variable;       /* NULL: there is none */
    bool use_variable;
    bool pipe;                /* the token file is a pipe: it can be read once only */
    int refused;              /* how often in a row a token was not accepted */
    struct stat seen;         /* of the token file when it was read */
    char why[TOKEN_WHY_SIZE]; /* why there is no token of the token file; "": there is */
};

/* Reads what can be read at once. With tokens->pipe set, the token of the pipe is still missing. */
void token_set_load(struct token_set *tokens, const struct config *config);
void token_set_free(struct token_set *tokens);
/* Reads the pipe to its end, for timeout_ms at most, or until ended() says that no process waits
 * any more (may be NULL). Then the token is there, or why says why not. */
void token_set_read_pipe(struct token_set *tokens, int timeout_ms, bool (*ended)(void *context),
                         void *context);
/* The token that somebody else has read from the pipe; NULL: it had none, for this reason. */
void token_set_take(struct token_set *tokens, const char *token, const char *why);
/* Reads a token file that has changed again. True if there is another token now. */
bool token_set_refresh(struct token_set *tokens);
/* The token to use now, or NULL. It lives until the next call of token_set_refused or
 * token_set_refresh. */
const char *token_set_current(const struct token_set *tokens);
/* True if a token was configured and there is none: nothing is to be sent then. */
bool token_set_broken(const struct token_set *tokens);
/* The dashboard did not accept the current one (401, 403): goes on to another. False when all
   that there are have been tried since the last token_set_accepted; the file is read again all
   the same. */
bool token_set_refused(struct token_set *tokens);
void token_set_accepted(struct token_set *tokens);

#endif
