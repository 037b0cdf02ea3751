#include "verdict.h"

#include <stddef.h>

#include "answer.h"

static const struct row {
    int first, last; /* range of statuses */
    enum verdict verdict;
} rows[] = {
    /* The first matching row counts. */
    {200, 202, VERDICT_TAKEN},    {204, 204, VERDICT_TAKEN},  {401, 401, VERDICT_DENIED},
    {403, 403, VERDICT_DENIED},   {404, 405, VERDICT_ABSENT}, {408, 408, VERDICT_RETRY},
    {409, 409, VERDICT_CONFLICT}, {410, 410, VERDICT_GONE},   {413, 413, VERDICT_TOO_LARGE},
    {421, 421, VERDICT_RETRY},    {425, 425, VERDICT_RETRY},  {429, 429, VERDICT_WAIT},
    {400, 499, VERDICT_REFUSED},  {503, 503, VERDICT_WAIT},
};

/* A proxy or another site can send 410, too. After a 410 the run is never sent again, so a 410
 * counts only if a dashboard sent it. */
static bool of_a_dashboard(const struct client_answer *answer)
{
    struct answer said;

    return answer->body && answer_parse(answer->body, answer->size, &said) && said.error[0];
}

enum verdict verdict_of(const struct client_answer *answer)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum verdict verdict = rows[i].verdict;

        if (answer->status < rows[i].first || answer->status > rows[i].last)
            continue;
        if (verdict == VERDICT_GONE && !of_a_dashboard(answer))
            return VERDICT_RETRY;
        return verdict == VERDICT_WAIT && answer->retry_after_ms <= 0 ? VERDICT_RETRY : verdict;
    }
    return VERDICT_RETRY;
}
