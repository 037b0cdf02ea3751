#define PCRE2_CODE_UNIT_WIDTH 8
#include "dashboard/api/match.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS 100000 /* of PCRE2's inner loop, for one line: some milliseconds */
#define MATCH_HEAP_KIB 1024
#define PATTERN_MAX 1000 /* bytes */

struct match {
    const char *kind;
    pcre2_code *code; /* NULL: every line matches */
    pcre2_match_data *data;
    pcre2_match_context *limits;
    bool failed; /* out of memory at some line */
};

static void describe_error(int code, char error[MATCH_ERROR_SIZE])
{
    PCRE2_UCHAR8 reason[128] = "";

    if (code == PCRE2_ERROR_HEAP_FAILED)
        return;
    pcre2_get_error_message(code, reason, sizeof reason);
    snprintf(error, MATCH_ERROR_SIZE, "q is not a regular expression: %s", (const char *)reason);
}

static pcre2_code *compile(const struct match_question *question, char error[MATCH_ERROR_SIZE])
{
    uint32_t options = PCRE2_UTF | (question->exact ? 0 : PCRE2_CASELESS);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_code *code;
    int reason = 0;
    PCRE2_SIZE at;

    if (!context)
        return NULL;
    if (!question->regex)
        options |= PCRE2_LITERAL;
    else
        options |= PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    if (question->word)
        pcre2_set_compile_extra_options(context, PCRE2_EXTRA_MATCH_WORD);
    pcre2_set_max_pattern_length(context, PATTERN_MAX);
    code = pcre2_compile((PCRE2_SPTR8)question->q, strlen(question->q), options, &reason, &at,
                         context);
    if (!code)
        describe_error(reason, error);
    pcre2_compile_context_free(context);
    return code;
}

struct match *match_open(const struct match_question *question, char error[MATCH_ERROR_SIZE])
{
    struct match *match = calloc(1, sizeof *match);

    error[0] = '\0';
    if (!match)
        return NULL;
    match->kind = question->kind;
    if (!question->q || !*question->q)
        return match;
    if (!(match->code = compile(question, error)) ||
        !(match->data = pcre2_match_data_create(1, NULL)) ||
        !(match->limits = pcre2_match_context_create(NULL))) {
        match_close(match);
        return NULL;
    }
    pcre2_set_match_limit(match->limits, MATCH_STEPS);
    pcre2_set_heap_limit(match->limits, MATCH_HEAP_KIB);
    return match;
}

void match_close(struct match *match)
{
    if (!match)
        return;
    pcre2_match_context_free(match->limits);
    pcre2_match_data_free(match->data);
    pcre2_code_free(match->code);
    free(match);
}

static bool is_kind(const char *text, const char *kind)
{
    static const char *const errors[] = {"error:", "error ", "fatal:", "failed", "failure", NULL},
                             *const warnings[] = {"warning:", "warning ", NULL};

    for (const char *const *word = strcmp(kind, "warning") == 0 ? warnings : errors; *word;
         word++) {
        const char *at = strcasestr(text, *word);

        if (at && (at == text ||
                   !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", at[-1])))
            return true;
    }
    return false;
}

bool match_line(struct match *match, const char *text, size_t size)
{
    int found;

    if (match->kind && !is_kind(text, match->kind))
        return false;
    if (!match->code)
        return true;
    found = pcre2_match(match->code, (PCRE2_SPTR8)text, size, 0, PCRE2_NO_UTF_CHECK, match->data,
                        match->limits);
    match->failed |= found == PCRE2_ERROR_NOMEMORY;
    return found >= 0;
}

bool match_failed(const struct match *match)
{
    return match->failed;
}
