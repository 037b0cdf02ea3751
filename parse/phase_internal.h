/* What the parts of parse/phase share. A part is a table of rules: a line whose beginning is a
   rule's prefix is handed to that rule's function. Lines are told apart by their first byte, so
   that a common line costs a table look-up and no comparison. */
#ifndef NIXFLEET_PHASE_INTERNAL_H
#define NIXFLEET_PHASE_INTERNAL_H

#include <string.h>

#include "phase.h"

struct line {
    const char *text; /* not terminated */
    size_t length;
    int64_t number;
    bool redrawn;
};

struct rule {
    const char *prefix;
    bool (*handle)(struct phase *phase, const struct line *line,
                   int argument); /* false: not its line after all */
    int argument;
    bool redrawn; /* also for states of a line that is about to be overwritten */
};

/* Derivations by the hash in their store path, and by their name: what was announced, what was
   started; also the paths to fetch. */
struct drv_set {
    uint64_t *key; /* open addressing; the lowest two bits are DRV_… flags; 0: free */
    size_t capacity, count;
};
enum { DRV_LISTED = 1, DRV_STARTED = 2 };
#define DRV_SET_MAX 65536 /* more are not remembered: then every well-formed name is believed */

/* One count that a tool shows as done/expected, and that may start again from 0 with the next
   call. */
struct meter {
    bool known;
    int64_t done, expected, running, failed;       /* of the call that runs */
    int64_t highest;                               /* expected, at its highest in this call */
    bool worked;                                   /* something of it ran in this call */
    int64_t base_done, base_expected, base_failed; /* of the calls before */
    int64_t base_final; /* what these came to, if they ended well: an expectation can shrink */
};

enum error_rank { RANK_NONE, RANK_TENTATIVE, RANK_CONSEQUENCE, RANK_GENERAL, RANK_CAUSE };

struct phase {
    struct phase_view view;
    bool label_switch, label_pull;
    int16_t first[256],
        *next; /* rules by first byte: index of the first one, chained by next; -1 ends */

    /* nix, permanent lines */
    struct drv_set drvs;
    int64_t listed, started, copies, copies_listed, announced;
    int64_t list_left; /* entries that its header promised and that have not come */
    enum { LIST_NONE, LIST_BUILD, LIST_FETCH } list;
    bool list_counted;   /* its header gave a number */
    bool list_confirmed; /* an entry has come */
    int64_t list_bytes;  /* download size that a header of paths gave, counted when its first entry
                            comes */
    bool list_since_build; /* a list came and nothing since */
    bool raw_open; /* a legacy build may still write its builders' output between nix's own lines */
    bool system_listed,
        system_started;   /* a nixos-system, darwin-system or home-manager-generation */
    bool remote;          /* a derivation is built elsewhere: paths come and go that no list has */
    bool system_last;     /* the derivation started last is such a system */
    bool rebuild_started; /* the derivation started last is nixos-rebuild or nix itself */
    uint64_t last_listed; /* key of the derivation that was listed last: the others are for it */
    uint64_t last_started;
    int64_t open_started, open_failed; /* since raw_open; others run on with --keep-going */
    bool last_failed, kept_going; /* the one started last failed; one started after a failure */
    char pending_drv[256];        /* newer "Cannot build": waits for its reason */
    char pending_text[PHASE_TEXT_SIZE];
    uint64_t pending_key;
    bool error_shown; /* the last error is the one that the view has, */
    int error_entry;  /* and this one of its list; -1: none */
    int64_t pending_line;
    bool result_seen;

    /* nix, counts */
    struct meter builds, paths;
    int64_t bytes_done, bytes_expected;
    bool bar_last, bar_seen; /* a bar stands on the last line */
    char last_bar[256];      /* its beginning */
    bool monitor_open;       /* nix-output-monitor has not said that it finished */

    /* errors */
    enum error_rank rank;
    enum { ERROR_WHOLE, ERROR_WAITS, ERROR_ITEMS } error_open; /* its text is on lines of its own */
    bool in_error;   /* the lines since the last error: belong to it */
    int hash_lines;  /* lines of a hash mismatch still to come */
    bool failure;    /* the text says that it failed */
    bool error_last; /* an error: that a builder might have written, and nothing came after it */

    /* switching */
    bool rebuild, units_block, switched_badly, would, finished, activated;

    /* git, tests */
    bool pull_ok, update_ok, tests_seen, tests_bad;
    bool in_activation_tool;
};

/* Text. */
static inline bool starts(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);
    return length >= n && memcmp(text, prefix, n) == 0;
}
static inline bool ends(const char *text, size_t length, const char *suffix)
{
    size_t n = strlen(suffix);
    return length >= n && memcmp(text + length - n, suffix, n) == 0;
}
static inline bool begins(const char *at, const char *end, const char *prefix)
{
    return starts(at, (size_t)(end - at), prefix);
}
static inline bool equals(const struct line *line, const char *text)
{
    return line->length == strlen(text) && memcmp(line->text, text, line->length) == 0;
}
/* Reads digits at *at; false if there are none (or too many). */
bool take_number(const char **at, const char *end, int64_t *value);
/* First occurrence of needle, or NULL. */
const char *find(const char *text, size_t length, const char *needle);

/* phase.c */
void phase_set(struct phase *phase, enum phase_id id);
void phase_current(struct phase *phase, const char *text, size_t length);
void names_add(struct phase_names *names, const char *text, size_t length);
/* One more piece of the last error and of its entry in the list. */
void phase_error_more(struct phase *phase, const char *text, size_t length);
void phase_error(struct phase *phase, enum error_rank rank, const char *text, size_t length,
                 int64_t line);
void meter_set(struct meter *meter, int64_t running, int64_t done, int64_t expected,
               int64_t failed);

/* phase_count.c */
void nix_progress(struct phase *phase);
/* All ended well: what the last bar had not yet drawn has come to an end, too. */
void nix_complete(struct phase *phase);

/* phase_nix.c */
extern const struct rule nix_rules[];
void nix_indented(struct phase *phase, const struct line *line);
bool nix_builder_may_write(
    const struct phase *phase); /* a builder's own line could look like anything now */
bool nix_build_over(const struct phase *phase, bool rebuild);

/* phase_error.c */
extern const struct rule nix_error_rules[];
extern const struct rule error_rules[];
void nix_error_indented(struct phase *phase, const struct line *line);
void nix_flush(struct phase *phase);

/* phase_drv.c */
struct store_path {
    const char *hash, *name;
    size_t name_length; /* without .drv */
    bool drv;
    const char *after;
};
/* DIR/HASH-NAME[.drv] at text; any directory, since stores can lie elsewhere. */
bool take_path(const char *text, const char *end, struct store_path *path);
bool take_quoted_path(const char *at, const char *end, struct store_path *path);
uint64_t hash_key(const struct store_path *path);
uint64_t name_key(const struct store_path *path);
/* Sets flags of a key; returns those it had before. */
unsigned drv_mark(struct drv_set *set, uint64_t key, unsigned flags);
unsigned drv_flags(const struct drv_set *set, uint64_t key);
void drv_set_free(struct drv_set *set);
/* Whether a line that names it may be nix's, although a builder could have written it. */
bool known_drv(const struct phase *phase, const struct store_path *path);
/* The same of old messages, which name the path that was built, not its derivation. */
bool known_name(const struct phase *phase, const struct store_path *path);

/* phase_bar.c */
extern const struct rule bar_rules[];
void bar_left_behind(struct phase *phase);

/* phase_switch.c */
extern const struct rule switch_rules[];

/* phase_tools.c */
extern const struct rule tool_rules[];
/* A line of a pull that no rule knows: git speaks the user's language, but not in its numbers. */
void git_other(struct phase *phase, const struct line *line);

#endif
