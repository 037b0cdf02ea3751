/* Host ids and run ids are made and checked here only. */
#include "id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool host_id_normalize(const char *name, char out[HOST_ID_SIZE])
{
    size_t length = strnlen(name, HOST_ID_SIZE);

    if (length == 0 || length >= HOST_ID_SIZE || (!is_letter(name[0]) && !is_digit(name[0])))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_letter(name[i]) && !is_digit(name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    for (size_t i = 0; i <= length; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    return true;
}

void run_id_make(int64_t wall_ms, char out[RUN_ID_SIZE])
{
    unsigned char b[16];

    random_bytes(b, sizeof b);
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)(wall_ms >> (40 - 8 * i));
    b[6] = (unsigned char)(0x70 | (b[6] & 0x0f)); /* version 7 */
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f)); /* variant 10 */
    snprintf(out, RUN_ID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

bool run_id_valid(const char *id)
{
    for (int i = 0; i < RUN_ID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? id[i] != '-' : !is_digit(id[i]) && !(id[i] >= 'a' && id[i] <= 'f'))
            return false;
    }
    return id[RUN_ID_SIZE - 1] == '\0';
}

/* RFC 9562: the first 48 bits of a version 7 id are the time. */
int64_t run_id_time(const char *id)
{
    char digits[13];

    snprintf(digits, sizeof digits, "%.8s%.4s", id, id + 9);
    return strtoll(digits, NULL, 16);
}
