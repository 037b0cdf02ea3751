/* Any answer of a dashboard: no crash, and values are within their limits. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../../transport/http/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct answer answer;

    answer_parse((const char *)bytes, size, &answer);
    assert(answer.next >= -1 && answer.wait_ms >= 0 && answer.wait_ms <= 30000);
    for (const char *c = answer.error; *c; c++)
        assert(*c >= ' ' && *c <= '~');
    return 0;
}
