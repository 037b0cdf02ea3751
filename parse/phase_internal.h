/* What the parts of parse/phase share.

   A struct phase is a run. Its lines belong to streams: the text of one program on one host, told
   apart by what stands in front of each line (phase_front.c). The state that decides what a line
   means is the stream's own, so that a line of one host says nothing about another.

   A part is a table of rules: a line whose beginning is a rule's prefix is handed to that rule's
   function. Lines are told apart by their first bytes, so that a common line costs a table look-up
   and no comparison. */
#ifndef NIXFLEET_PHASE_INTERNAL_H
#define NIXFLEET_PHASE_INTERNAL_H

#include <string.h>

#include "phase.h"

struct line {
    const char *text; /* not terminated; without what stands in front of it */
    size_t length;
    const char *after; /* behind the prefix of the rule that was found */
    int64_t number;
    bool redrawn;
    const char *whole; /* as it was printed */
    size_t whole_length;
};

struct stream;
struct rule {
    const char *prefix; /* DIGIT stands for any digit */
    bool (*handle)(struct stream *stream, const struct line *line,
                   int argument); /* false: not its line after all */
    int argument;
    bool redrawn; /* also for states of a line that is about to be overwritten */
};
#define DIGIT "\x01"

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
    int64_t done, expected, running, failed; /* of the call that runs */
    int64_t raw, excess;                     /* expected as it was told; what it has too much */
    int64_t highest;                         /* expected, at its highest in this call */
    bool worked;                             /* something of it ran in this call */
    int64_t base_done, base_expected, base_failed; /* of the calls before */
    int64_t base_final; /* what these came to, if they ended well: an expectation can shrink */
};

/* From best to worst as the one that is shown: GENERAL and SUSPECT count the same. */
enum error_rank {
    RANK_NONE,
    RANK_CONSEQUENCE, /* reports a failure that has its cause elsewhere */
    RANK_SUSPECT,     /* some program's words that look like an error */
    RANK_GENERAL,
    RANK_CAUSE
};

struct trouble { /* an error that was seen */
    char *text;
    int64_t line;
    enum error_rank rank;
    enum phase_id during;
    bool survived; /* the command went on to a later step */
    bool hard;     /* a suspect that ends a program */
    const struct stream *stream;
};

/* Who may be believed: a legacy build mixes its builders' output with nix's own lines. */
struct belief {
    struct drv_set drvs;
    bool raw_open; /* a legacy build may still write its builders' output between nix's own lines */
    bool units_block; /* systemctl's words about failed units, with journal lines */
    bool system_listed,
        system_started;   /* a nixos-system, darwin-system or home-manager-generation */
    bool remote;          /* a derivation is built elsewhere: paths come and go that no list has */
    bool system_last;     /* the derivation started last is such a system */
    bool rebuild_started; /* the derivation started last is nixos-rebuild or nix itself */
    uint64_t last_listed; /* key of the derivation that was listed last: the others are for it */
    uint64_t last_started;
    int64_t open_started, open_failed; /* since raw_open; others run on with --keep-going */
    bool last_failed, kept_going; /* the one started last failed; one started after a failure */
};

/* What nix's permanent lines announced, and what became of it. */
struct lists {
    enum { LIST_NONE, LIST_BUILD, LIST_FETCH } kind; /* the one whose entries may come now */
    bool counted;                                    /* its header gave a number */
    bool confirmed;                                  /* an entry has come */
    bool last;                                       /* a list came and nothing since */
    int64_t left;      /* entries that its header promised and that have not come */
    int64_t announced; /* entries that it promised */
    int64_t bytes;     /* download size that a header of paths gave, counted when its first entry
                          comes */
    int64_t listed, started, copies, copies_listed;
    bool copies_known; /* a number of paths was told, be it 0 */
    bool result_seen;
};

struct meters {
    struct meter builds, paths;
    int64_t bytes_done, bytes_expected;
    bool bar_last, bar_seen; /* a bar stands on the last line */
    char last_bar[256];      /* its beginning */
    bool monitor_open;       /* nix-output-monitor has not said that it finished */
};

#define RECENT_MAX 16
struct recent { /* lines that no rule knew, since the last one that a rule knew */
    struct {
        char text[400];
        size_t length;
        int64_t line;
    } at[RECENT_MAX];
    size_t count; /* the last RECENT_MAX of so many are here */
};

struct errors {
    enum { ERROR_WHOLE, ERROR_WAITS, ERROR_ITEMS } open; /* its text is on lines of its own */
    enum { BLOCK_NONE, BLOCK_RUST, BLOCK_TRACEBACK, BLOCK_MESSAGE } block;
    bool inside;           /* the lines since the last error: belong to it */
    bool told;             /* the line that is looked at reported an error */
    int entry;             /* the last error of this stream, in the run's list; -1: none */
    int hash_lines;        /* lines of a hash mismatch still to come */
    bool failure;          /* the text says that it failed, without an error that could be shown */
    char pending_drv[256]; /* newer "Cannot build": waits for its reason */
    char pending_text[PHASE_TEXT_SIZE];
    uint64_t pending_key;
    int64_t pending_line;
    char guess[PHASE_TEXT_SIZE]; /* an "error:" that a builder might have written */
    int64_t guess_line;
    bool guess_last; /* and nothing came after it */
    struct recent *recent;
};

/* The steps of a rebuild, a pull, a test. */
struct steps {
    bool rebuild, switched_badly, would, finished;
    bool activated; /* a last step of an activation was reached */
    bool home;      /* home-manager's activation runs */
    bool pull_ok, update_ok, tests_seen, tests_bad;
    bool deploy; /* a deployment tool speaks in this stream */
};

struct host {
    struct phase_host seen;
    struct stream *last; /* the stream that entered a phase last */
    bool replay;         /* its tool prints its log once more: nothing of it happens now */
};

/* The derivations of the run, and a table that finds them by keys. */
struct derivations {
    struct derivation *at;
    size_t count, room;
    uint64_t *key; /* open addressing; 0: free */
    size_t *index; /* of the derivation with that key */
    size_t keys, capacity;
    size_t stopped;    /* of them: whether they succeeded is not known yet */
    int64_t succeeded; /* that are known to have been counted as done */
};

struct stream {
    struct phase *run;
    struct host *host; /* NULL: not known */
    const struct stream *parent;
    bool systemd;              /* its lines are systemd's own */
    char key[PHASE_HOST_SIZE]; /* what stands in front of its lines; "" of the first stream */
    enum phase_id phase;
    struct progress progress;
    int64_t failed; /* derivations */
    struct belief believe;
    struct lists lists;
    struct meters meters;
    struct errors errors;
    struct steps steps;
    char builder_name[96]; /* before the last line of a builder; "": none had a name */
    size_t builder;        /* index of its derivation; SIZE_MAX: not known */
    size_t in_bar;         /* of the one that runs alone; SIZE_MAX: there is none */
};

#define STREAMS_MAX 256

#define RECORDS_MAX 16
struct record { /* what a nix process counts in its own record */
    uint64_t process;
    struct meter builds, paths;
};

struct rule_entry { /* the first bytes of a rule's prefix: compared before the rule is looked at */
    uint64_t value, mask;
    const struct rule *rule;
};

struct phase {
    struct phase_view view;
    bool view_old; /* errors came since it was made */
    bool label_switch, label_pull;
    struct rule_entry *rules;           /* by first byte */
    uint16_t rules_from[257];           /* those of a byte: from [byte] to [byte + 1] */
    struct stream *stream[STREAMS_MAX]; /* [0]: lines with nothing in front */
    struct host *host[PHASE_HOSTS_MAX];
    const struct phase_host *hosts[PHASE_HOSTS_MAX]; /* the same for the view */
    size_t stream_count, host_count, drvs_known;
    struct trouble trouble[PHASE_ERRORS_MAX];
    size_t trouble_count;
    bool quoted;                /* lines are quoted with "> " */
    size_t nixops_width;        /* length of nixops' "name....>" */
    size_t node_column;         /* where colmena's " | " stands; 0: not known */
    char node[PHASE_HOST_SIZE]; /* whose log colmena prints */
    struct derivations derivations;
    struct record record[RECORDS_MAX]; /* a later process takes the place of one before */
    size_t record_count;
    size_t owner;   /* of the lines that come now; SIZE_MAX: not known */
    int64_t now_ms; /* -1: not known */
    bool all_done;  /* the tool that drives all hosts said that it ended well */
};

/* Text. */
static inline bool starts(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);
    if (length == 0 || n == 0 || *text != *prefix) /* most texts differ there */
        return n == 0;
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
static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}
/* Reads digits at *at; false if there are none (or too many). */
bool take_number(const char **at, const char *end, int64_t *value);
/* First occurrence of needle, or NULL. */
const char *find(const char *text, size_t length, const char *needle);
/* Copies a text that may be cut, never within a character. */
void text_copy(char *room, size_t size, const char *text, size_t length);

/* A path in a nix store. */
struct store_path {
    const char *hash, *name;
    size_t name_length; /* without .drv */
    bool drv;
    const char *after;
};

/* phase.c */
void phase_set(struct stream *stream, enum phase_id id);
void phase_current(struct stream *stream, const char *text, size_t length);
/* False if it was there before. */
bool names_add(struct phase_names *names, const char *text, size_t length);
/* A unit that failed, of the stream's host and of the run. */
void phase_unit_failed(struct stream *stream, const char *text, size_t length);
/* Whether a rule of nix or of a switch knows this beginning of a line. */
bool phase_knows(const struct phase *phase, const char *text, size_t length);
/* The stream of lines with this in front, within another one; makes it. host: the key is a host's
   name. NULL when there are too many. */
struct stream *phase_stream(struct phase *phase, const struct stream *parent, const char *key,
                            size_t length, bool host);
struct host *phase_host(struct phase *phase, const char *name, size_t length);

/* phase_front.c */
/* Takes what stands in front of a line: *line becomes the rest. Returns the stream that it belongs
   to; *level is set if a tool marks it as an error. */
struct stream *front_take(struct phase *phase, struct line *line, bool *level);

/* phase_trouble.c */
extern const struct rule trouble_rules[];
/* An error; what looked like one before it (phase_recent) is recorded first. */
void phase_error(struct stream *stream, enum error_rank rank, const char *text, size_t length,
                 int64_t line);
void phase_error_line(struct stream *stream, enum error_rank rank, const struct line *line);
/* One more piece of the stream's last error. */
void phase_error_more(struct stream *stream, const char *separator, const char *text,
                      size_t length);
/* The stream's last error has its cause in what is reported next. */
void phase_error_nested(struct stream *stream);
/* What a builder might have written, for when nothing better explains a failure. */
void phase_error_guess(struct stream *stream, const char *text, size_t length, int64_t line);
/* A line that no rule knows. */
void trouble_remember(struct stream *stream, const struct line *line);
/* The command goes on: errors of the steps before are not what it failed of. */
enum survived { SURVIVED_LINES, SURVIVED_CALL, SURVIVED_BUILD, SURVIVED_ALL };
void trouble_survived(struct stream *stream, enum survived what);
/* The line that was remembered first, or last, and looks like an error becomes a cause. */
bool trouble_blame(struct stream *stream, bool first);
/* The lines of an error of several lines. True: it was one. */
bool trouble_block(struct stream *stream, const struct line *line);
bool trouble_any(const struct phase *phase); /* an error that is no mere suspect */
bool trouble_failed(const struct stream *stream);
bool trouble_hard(const struct stream *stream); /* a suspect that ends a program stands last */
bool trouble_open(const struct stream *stream); /* any suspect does */
/* "Command '…' died with <Signals.…>." behind other text. */
bool trouble_command(struct stream *stream, const struct line *line, bool whole);
void trouble_at_end(struct stream *stream);
void trouble_view(struct phase *phase);
void trouble_free(struct phase *phase);

/* phase_count.c */
void meter_set(struct meter *meter, int64_t running, int64_t done, int64_t expected,
               int64_t failed);
void nix_progress(struct stream *stream);
/* All ended well: what the last bar had not yet drawn has come to an end, too. */
void nix_complete(struct stream *stream);
/* The sum of the streams. */
void progress_sum(struct phase *phase);

/* phase_build.c */
void build_listed(struct stream *stream, const struct store_path *path);
void build_started(struct stream *stream, const struct store_path *path, const struct line *line);
void build_fetched(struct stream *stream, const struct store_path *path);
void build_failed(struct stream *stream, const struct store_path *path);
void build_failed_name(struct stream *stream, uint64_t key, const char *name);
/* A name in a progress bar. */
void build_in_bar(struct stream *stream, const char *name, size_t length);
/* What is done and failed rose by that many. */
void build_counted(struct stream *stream, int64_t more_done, int64_t more_failed);
/* A line that may be a builder's: true if it is taken for one. */
bool build_line(struct stream *stream, const struct line *line);
/* The counts of internal-json or of records changed: so many of those that stopped were built. */
void builds_counted(struct phase *phase);
void builds_end(struct phase *phase, bool success);
void builds_free(struct phase *phase);

/* phase_nix.c */
extern const struct rule nix_rules[];
void nix_indented(struct stream *stream, const struct line *line);
bool nix_builder_may_write(
    const struct stream *stream); /* a builder's own line could look like anything now */
bool nix_build_over(const struct stream *stream, bool rebuild);
/* All that was listed has been started, the last one last. */
bool nix_all_started(const struct stream *stream);

/* phase_error.c */
extern const struct rule nix_error_rules[];
extern const struct rule error_rules[];
void nix_error_indented(struct stream *stream, const struct line *line);
void nix_flush(struct stream *stream);

/* phase_drv.c */
/* DIR/HASH-NAME[.drv] at text; any directory, since stores can lie elsewhere. */
bool take_path(const char *text, const char *end, struct store_path *path);
bool take_quoted_path(const char *at, const char *end, struct store_path *path);
uint64_t hash_key(const struct store_path *path);
uint64_t name_key(const struct store_path *path);
uint64_t text_hash(const char *text, size_t length);
/* Sets flags of a key; returns those it had before. */
unsigned drv_mark(struct stream *stream, uint64_t key, unsigned flags);
unsigned drv_flags(const struct stream *stream, uint64_t key);
void drv_set_free(struct drv_set *set);
/* Whether a line that names it may be nix's, although a builder could have written it. */
bool known_drv(const struct stream *stream, const struct store_path *path);
/* The same of old messages, which name the path that was built, not its derivation. */
bool known_name(const struct stream *stream, const struct store_path *path);

/* phase_bar.c */
extern const struct rule bar_rules[];
void bar_left_behind(struct stream *stream);

/* phase_switch.c */
extern const struct rule switch_rules[];

/* phase_deploy.c */
extern const struct rule deploy_rules[];
/* systemd's own lines about a unit that the run is known by. */
bool deploy_systemd(struct stream *stream, const struct line *line);

/* phase_tools.c */
extern const struct rule tool_rules[];
/* A line of a pull that no rule knows: git speaks the user's language, but not in its numbers. */
void git_other(struct stream *stream, const struct line *line);

#endif
