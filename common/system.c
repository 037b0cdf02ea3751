#ifdef __APPLE__
#define __STDC_WANT_LIB_EXT1__ 1 /* memset_s */
#endif
#include "system.h"

#include <signal.h>
#include <string.h>

const char *signal_name(int number)
{
#ifdef __APPLE__
    return number > 0 && number < NSIG ? sys_signame[number] : NULL;
#else
    return sigabbrev_np(number);
#endif
}

void wipe(void *bytes, size_t size)
{
#ifdef __APPLE__
    memset_s(bytes, size, 0, size);
#else
    explicit_bzero(bytes, size);
#endif
}
