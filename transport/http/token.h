/* The host's tokens: the one in the token file or cache, and the one of NIXFLEET_TOKEN. The file
   comes first, because the agent renews it; when the dashboard does not accept the one in use, the
   other is tried, then the file is read again. */
#ifndef NIXFLEET_TOKEN_H
#define NIXFLEET_TOKEN_H

#include <stdbool.h>

#include "../../config/config.h"

#define TOKEN_MAX 4096 /* bytes; a longer one is no token */

struct token_set {
    const struct config *config; /* outlives the set */
    char *file, *variable;       /* NULL: there is none */
    bool use_variable;
    int refused; /* how often in a row a token was not accepted */
};

void token_set_load(struct token_set *tokens, const struct config *config);
void token_set_free(struct token_set *tokens);
/* The token to use now, or NULL. It lives until the next call of token_set_refused. */
const char *token_set_current(const struct token_set *tokens);
/* The dashboard did not accept the current one (401, 403): goes on to another. False when all
   that there are have been tried since the last token_set_accepted; the file is read again all
   the same. */
bool token_set_refused(struct token_set *tokens);
void token_set_accepted(struct token_set *tokens);

#endif
