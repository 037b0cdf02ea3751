/* One setting of a program: the values that it accepts, and the field of a struct that it fills.
   setting_list.h lists the settings. */
#ifndef NIXFLEET_SETTING_H
#define NIXFLEET_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
    SETTING_TEXT,    /* char *: any text */
    SETTING_URL,     /* char *: http or https; stored without '/' at the end */
    SETTING_LABEL,   /* char *: at most `highest` bytes */
    SETTING_HOST,    /* char[HOST_ID_SIZE]: stored in lower case */
    SETTING_FLAG,    /* bool */
    SETTING_NUMBER,  /* int, from lowest to highest */
    SETTING_SIZE,    /* uint64_t: bytes; K, M, G are powers of 1024 */
    SETTING_PATTERNS /* char **: patterns for names of variables, NULL-terminated, without
                        duplicates */
};

enum {
    SETTING_ADDS = 1, /* each source adds to the list of weaker sources */
    SETTING_CREDENTIAL =
        2,              /* belongs to the dashboard whose URL its source, or a weaker one, has */
    SETTING_SECRET = 4, /* is not passed to helpers, and is overwritten when it is freed */
    SETTING_PATH = 8    /* in a file it begins with '/' */
};

struct setting_row {
    const char *variable;
    const char *option; /* the long name; NULL: not an option */
    char letter;        /* the short name, or 0 */
    enum setting_kind kind;
    int64_t low, high, standard;
    unsigned properties;
    size_t offset; /* of the field in its struct */
};

/* Whether text is a valid value. If not, writes the reason to why: "'3' is not a whole number from
 * 5 to 60". The reason never contains a value that may hold a secret. */
#define SETTING_WHY_SIZE 320
bool setting_check(const struct setting_row *row, const char *text, char why[SETTING_WHY_SIZE]);
/* Sets the field of the struct at target to a text that was checked; NULL: to the standard value.
 * Frees the old value. Returns 0, or -1 when out of memory. */
int setting_set(const struct setting_row *row, void *target, const char *text);
/* The field as a text that setting_set accepts; "" if it is not set. The caller frees the text.
 * NULL when out of memory. */
char *setting_text(const struct setting_row *row, const void *target);
void setting_free(const struct setting_row *row, void *target);

/* The setting of either program whose name is most similar to name, for a hint; NULL if none is
 * similar. */
const char *setting_nearest(const char *name);
/* Whether either program has a setting with this name. */
bool setting_known(const char *name);

#endif
