#ifdef __APPLE__
#define __STDC_WANT_LIB_EXT1__ 1 /* memset_s */
#endif
#include "system.h"

#include <ctype.h>
#include <signal.h>
#include <string.h>

bool signal_name(int number, char out[SIGNAL_NAME_SIZE])
{
    size_t length = 0;
#ifdef __APPLE__ /* in small letters there */
    const char *name = number > 0 && number < NSIG ? sys_signame[number] : NULL;
#else
    const char *name = sigabbrev_np(number);
#endif

    for (; name && name[length] && length < SIGNAL_NAME_SIZE - 1; length++)
        out[length] = (char)toupper((unsigned char)name[length]);
    out[length] = '\0';
    return length > 0;
}

void wipe(void *bytes, size_t size)
{
#ifdef __APPLE__
    memset_s(bytes, size, 0, size);
#else
    explicit_bzero(bytes, size);
#endif
}
