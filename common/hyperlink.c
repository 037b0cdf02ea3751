#include "common/hyperlink.h"

#include <string.h>
#include <strings.h>

#define START_SIZE (sizeof HYPERLINK_START - 1)
#define END_SIZE (sizeof HYPERLINK_END - 1)

static bool begins(const char *text, size_t size, const char *scheme)
{
    size_t length = strlen(scheme);

    return size > length && strncasecmp(text, scheme, length) == 0;
}

bool hyperlink_may_lead_to(const char *target, size_t size)
{
    if (size > HYPERLINK_TARGET_MAX ||
        !(begins(target, size, "https://") || begins(target, size, "http://")))
        return false;
    for (size_t i = 0; i < size; i++)
        if (target[i] <= ' ' || target[i] > '~')
            return false;
    return true;
}

size_t hyperlink_length(const char *text, size_t size)
{
    const char *target = text + START_SIZE, *end;

    if (size < START_SIZE + END_SIZE || memcmp(text, HYPERLINK_START, START_SIZE) != 0)
        return 0;
    size -= START_SIZE;
    if (size > HYPERLINK_TARGET_MAX + END_SIZE)
        size = HYPERLINK_TARGET_MAX + END_SIZE;
    end = memchr(target, HYPERLINK_END[0], size - END_SIZE + 1);
    if (!end || end[1] != HYPERLINK_END[1])
        return 0;
    if (end > target && !hyperlink_may_lead_to(target, (size_t)(end - target)))
        return 0;
    return (size_t)(end - text) + END_SIZE;
}

size_t hyperlinks_leave_out(char *out, const char *text, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < size;) {
        size_t link = text[i] == HYPERLINK_START[0] ? hyperlink_length(text + i, size - i) : 0;

        if (link)
            i += link;
        else
            out[length++] = text[i++];
    }
    return length;
}
