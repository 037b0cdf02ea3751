/* One setting of a program: what its value may be, and the field of a struct that it fills. The
   settings themselves are in setting_list.h. */
#ifndef NIXFLEET_SETTING_H
#define NIXFLEET_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
    SETTING_TEXT,    /* char *: any text */
    SETTING_URL,     /* char *: http or https; kept without '/' at its end */
    SETTING_LABEL,   /* char *: highest bytes at most */
    SETTING_HOST,    /* char[HOST_ID_SIZE], in small letters */
    SETTING_FLAG,    /* bool */
    SETTING_NUMBER,  /* int, from lowest to highest */
    SETTING_SIZE,    /* uint64_t: bytes; K, M, G are powers of 1024 */
    SETTING_PATTERNS /* char **: patterns of variables' names, NULL-terminated, none twice */
};

enum {
    SETTING_ADDS = 1,       /* each source adds to the list of the weaker ones */
    SETTING_CREDENTIAL = 2, /* belongs to the dashboard that its source, or a weaker one, names */
    SETTING_SECRET = 4      /* is not handed down, and overwritten when it is freed */
};

struct setting_row {
    const char *variable;
    const char *option; /* long name, or NULL: no option */
    char letter;        /* short name, or 0 */
    enum setting_kind kind;
    int64_t low, high, standard;
    unsigned properties;
    size_t offset; /* of the field */
};

/* Whether text may be the value. Otherwise writes why not, "'3' is not a whole number from 5 to
 * 60"; never a value that may hold a secret. */
#define SETTING_WHY_SIZE 320
bool setting_check(const struct setting_row *row, const char *text, char why[SETTING_WHY_SIZE]);
/* Fills the field of the struct at target with a checked text; NULL: with the standard value. What
 * it held is freed. 0, or -1 when out of memory. */
int setting_set(const struct setting_row *row, void *target, const char *text);
/* The field as a text that setting_set takes; "" for none. Caller frees. NULL when out of memory.
 */
char *setting_text(const struct setting_row *row, const void *target);
void setting_free(const struct setting_row *row, void *target);

/* The setting of either program that was probably meant by a name that is none; NULL. */
const char *setting_nearest(const char *name);
/* Whether either program has a setting of this name. */
bool setting_known(const char *name);

#endif
