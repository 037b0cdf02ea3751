/* The settings of nixfleet-run as texts, from the two files and the environment. For the files of
 * config/ only. */
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

/* The texts of the settings that were found; NULL: not set. settings_free frees the texts. */
struct setting_values {
    char *text[SET_COUNT];
};

/* Sets a setting (or appends to a list). An empty text changes nothing. Returns 0, or -1 when out
 * of memory. */
int setting_put(struct setting_values *values, enum setting which, const char *text);
/* Overrides values by the settings of a stronger source. If that source has the URL of another
 * dashboard, drops the credentials in values, which must not be sent to another dashboard. Returns
 * 0, or -1 when out of memory. */
int settings_merge(struct setting_values *values, const struct setting_values *stronger);

/* The sources besides options, weakest first. */
enum setting_source { SOURCE_SYSTEM, SOURCE_USER, SOURCE_ENVIRONMENT, SOURCE_COUNT };
/* Merges the first `count` sources into values, which must be empty. Skips a wrong file or value
   and notes a warning. Returns 0, or -1 when out of memory. */
int settings_from_sources(struct setting_values *values, int count,
                          struct config_warnings *warnings);
void settings_free(struct setting_values *values);

/* Notes a warning for a person. Drops the warning if there are CONFIG_WARNINGS_MAX already, or
 * memory is short. */
void config_warn(struct config_warnings *warnings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
