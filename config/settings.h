/* The settings of nixfleet-run as texts, from the two files and the environment. Only for the
 * config room. */
#ifndef NIXFLEET_SETTINGS_H
#define NIXFLEET_SETTINGS_H

#include "../common/setting_list.h"
#include "config.h"

enum setting {
#define ID(id, ...) SET_##id,
    RUN_SETTINGS(ID)
#undef ID
        SET_COUNT
};

extern const struct setting_row setting_rows[SET_COUNT];

/* The texts of the settings, as found so far; NULL: not set. Owned. */
struct setting_values {
    char *text[SET_COUNT];
};

/* Sets (or, for a list, appends to) a setting; an empty text changes nothing. 0, or -1 out of
 * memory. */
int setting_put(struct setting_values *values, enum setting which, const char *text);
/* Puts the settings of a stronger source over values. Where that one names another dashboard, the
 * credentials in values are dropped: they must not be sent to another one than theirs. 0, or -1 out
 * of memory. */
int settings_merge(struct setting_values *values, const struct setting_values *stronger);

/* The sources that there are without options, weakest first. */
enum setting_source { SOURCE_SYSTEM, SOURCE_USER, SOURCE_ENVIRONMENT, SOURCE_COUNT };
/* Merges the first `count` sources into values (empty before). What is wrong with a file or a value
   is passed over, and told in warnings. 0, or -1 out of memory. */
int settings_from_sources(struct setting_values *values, int count,
                          struct config_warnings *warnings);
void settings_free(struct setting_values *values);

/* Notes what a person should mend. */
void config_warn(struct config_warnings *warnings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
