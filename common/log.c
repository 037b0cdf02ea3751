#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

/* systemd.exec(5): JOURNAL_STREAM has the device and inode of the journal's stream. If standard
   error was redirected, it is another stream, and its lines must not have the journal's form. */
static bool to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat info;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device && info.st_ino == inode;
}

void log_line(int priority, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    int start = to_journal() ? snprintf(line, sizeof line, "<%d>", priority)
                             : snprintf(line, sizeof line, "%s: ", getprogname()),
        length;
    va_list arguments;

    va_start(arguments, format);
    length = start + vsnprintf(line + start, sizeof line - (size_t)start - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    for (int i = start; i < length; i++) /* also removes the C1 controls of UTF-8 */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f ||
            ((unsigned char)line[i] == 0xc2 && (unsigned char)line[i + 1] < 0xa0))
            line[i] = '?';
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0) {
        /* a failure cannot be reported anywhere */
    }
}
