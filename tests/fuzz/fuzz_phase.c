/* Lines of any text, with anything in front of them: the counts stay possible. The first byte
 * decides which lines are redrawn. */
#include <stdlib.h>
#include <string.h>

#include "../../parse/phase.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size == 0)
        return 0;
    struct phase *phase = phase_new(data[0] & 1 ? "switch" : NULL);
    if (phase == NULL)
        return 0;
    const char *at = (const char *)data + 1, *end = (const char *)data + size;
    for (int64_t number = 0; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop == NULL ? end : stop) - at);
        /* a separate copy, so that a sanitizer sees a read behind the end */
        char *line = malloc(length + 1);
        if (line == NULL)
            break;
        memcpy(line, at, length);
        char *exact = realloc(line, length == 0 ? 1 : length);
        phase_line(phase, exact, length, number, (data[0] >> 1 & 1) && number % 2 != 0);
        free(exact);
        const struct progress *progress = &phase_view(phase)->progress;
        if (progress->to_build >= 0 && progress->built > progress->to_build)
            abort();
        if (progress->to_fetch >= 0 && progress->fetched > progress->to_fetch)
            abort();
        at += length + 1;
    }
    const struct phase_view *now = phase_view(phase);
    if (now->host_count > PHASE_HOSTS_MAX || now->errors.count > PHASE_ERRORS_MAX ||
        phase_derivation_count(phase) > PHASE_DERIVATIONS_MAX)
        abort();
    if (data[0] & 4)
        phase_end(phase, data[0] & 8, data[0] >> 4);
    else
        phase_end_unknown(phase);
    now = phase_view(phase);
    if (now->outcome == OUTCOME_SUCCESS && now->error[0] != '\0')
        abort();
    for (size_t k = 1; k < now->errors.count; k++) /* no error may appear twice */
        for (size_t j = 0; j < k; j++)
            if (strcmp(now->errors.text[j], now->errors.text[k]) == 0)
                abort();
    phase_free(phase);
    return 0;
}
