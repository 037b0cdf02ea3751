/* The table of settings: one row for each variable, with the option that outranks it. Only for the
 * config room. */
#ifndef NIXFLEET_SETTINGS_H
#define NIXFLEET_SETTINGS_H

#include <stdbool.h>

enum setting {
    SET_URL,
    SET_HOST,
    SET_NAME,
    SET_LOG,
    SET_HEARTBEAT,
    SET_TOKEN_FILE,
    SET_TOKEN_CACHE,
    SET_TOKEN,
    SET_CA_FILE,
    SET_PINNED_PUBKEY,
    SET_ALLOW_INSECURE_HTTP,
    SET_FLUSH_TIMEOUT,
    SET_NIX_LOG,
    SET_NO_STREAM,
    SET_NOHUP,
    SET_SCOPE,
    SET_REDACT,
    SET_QUIET,
    SET_VERBOSE,
    SET_STATE_DIR,
    SET_KEEP_RUNS,
    SET_KEEP_DAYS,
    SET_KEEP_SIZE,
    SET_COUNT
};

struct setting_row {
    const char *variable;
    const char *option; /* long name, or NULL: no option */
    char letter;        /* short name, or 0 */
    bool flag;          /* takes no value: "1" when given */
    bool list;          /* each source adds (comma list) */
    bool credential;    /* belongs to the dashboard that its source, or a weaker one, names */
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
/* Merges the first `count` sources into values (empty before). 0, or -1 with a line in error; an
 * empty line there: out of memory. */
int settings_from_sources(struct setting_values *values, int count, char *error);
void settings_free(struct setting_values *values);

#endif
