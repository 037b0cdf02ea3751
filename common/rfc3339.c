#include "common/rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void rfc3339_format(int64_t ms, char out[RFC3339_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    size_t length;

    gmtime_r(&seconds, &utc);
    length = strftime(out, RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + length, RFC3339_SIZE - length, ".%03dZ", (int)(ms % 1000));
}

/* Reads exactly count digits at *text, and moves *text behind them. False if there are fewer. */
static bool read_digits(const char **text, int count, int *number)
{
    *number = 0;
    for (; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *number = *number * 10 + (**text - '0');
    }
    return true;
}

static bool read_mark(const char **text, const char *marks)
{
    if (!**text || !strchr(marks, **text))
        return false;
    (*text)++;
    return true;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool read_date_and_time(const char **text, struct tm *utc)
{
    if (!read_digits(text, 4, &utc->tm_year) || !read_mark(text, "-") ||
        !read_digits(text, 2, &utc->tm_mon) || !read_mark(text, "-") ||
        !read_digits(text, 2, &utc->tm_mday) || !read_mark(text, "Tt") ||
        !read_digits(text, 2, &utc->tm_hour) || !read_mark(text, ":") ||
        !read_digits(text, 2, &utc->tm_min) || !read_mark(text, ":") ||
        !read_digits(text, 2, &utc->tm_sec))
        return false;
    if (utc->tm_mon < 1 || utc->tm_mon > 12 || utc->tm_mday < 1 ||
        utc->tm_mday > days_of(utc->tm_year, utc->tm_mon) || utc->tm_hour > 23 ||
        utc->tm_min > 59 || utc->tm_sec > 60)
        return false;
    utc->tm_year -= 1900;
    utc->tm_mon--;
    return true;
}

static int read_milliseconds(const char **text)
{
    int ms = 0;

    for (int scale = 100; **text >= '0' && **text <= '9'; scale /= 10, (*text)++)
        ms += (**text - '0') * scale;
    return ms;
}

static bool read_offset(const char **text, int *minutes)
{
    int sign = **text == '-' ? -1 : 1, hour, minute;

    if (!**text || read_mark(text, "Zz")) {
        *minutes = 0;
        return true;
    }
    if (!read_mark(text, "+- ") || !read_digits(text, 2, &hour))
        return false;
    read_mark(text, ":");
    if (!read_digits(text, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

bool rfc3339_parse(const char *text, int64_t *ms)
{
    struct tm utc = {0};
    int fraction = 0, offset;

    if (!read_date_and_time(&text, &utc))
        return false;
    if (read_mark(&text, ".")) {
        if (*text < '0' || *text > '9')
            return false;
        fraction = read_milliseconds(&text);
    }
    if (!read_offset(&text, &offset) || *text)
        return false;
    *ms = ((int64_t)timegm(&utc) - (int64_t)offset * 60) * 1000 + fraction;
    return true;
}
