/* nix's internal log beside a log, in pieces: the counts and the derivations stay possible, however
   the bytes are divided. The bytes up to the first NUL are the log, the others the internal log. */
#include <stdlib.h>
#include <string.h>

#include "../../parse/transcript.h"

static void look(struct transcript *transcript)
{
    const struct progress *progress = &transcript_phase(transcript)->progress;
    if (progress->to_build >= 0 && progress->built > progress->to_build)
        abort();
    if (progress->to_fetch >= 0 && progress->fetched > progress->to_fetch)
        abort();
    size_t count = transcript_derivation_count(transcript);
    if (count > PHASE_DERIVATIONS_MAX)
        abort();
    for (size_t at = 0; at < count; at++) {
        const struct derivation *one = transcript_derivation(transcript, at);
        if (one->lines < 0 || strlen(one->name) >= sizeof one->name ||
            *derivation_state_name(one->state) == '\0')
            abort();
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *nul = size == 0 ? NULL : memchr(data, 0, size);
    size_t log = nul == NULL ? 0 : (size_t)(nul - data);
    const unsigned char *record = nul == NULL ? data : nul + 1;
    size_t left = size - (size_t)(record - data);
    struct transcript *transcript = transcript_new(0, 0, NULL, NULL);
    if (transcript == NULL)
        return 0;
    transcript_time(transcript, 1000);
    transcript_feed(transcript, data, log / 2);
    transcript_record(transcript, record, left / 2);
    look(transcript);
    transcript_time(transcript, 2000);
    transcript_feed(transcript, data + log / 2, log - log / 2);
    transcript_record(transcript, record + left / 2, left - left / 2);
    look(transcript);
    transcript_end(transcript, 0, size % 2 == 0 ? 0 : 1);
    look(transcript);
    transcript_free(transcript);
    return 0;
}
