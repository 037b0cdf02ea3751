/* Declarations for the files of parse/phase.

   A struct phase is a run. Its lines belong to streams: the text of one program on one host,
   distinguished by what is in front of each line (phase_front.c). The state that decides what a
   line means belongs to the stream, so that a line of one host says nothing about another host.

   Each file has a table of rules: a line that begins with the prefix of a rule is passed to the
   function of the rule. Rules are found by the first bytes of a line, so that an ordinary line
   costs one table look-up. */
#ifndef NIXFLEET_PHASE_INTERNAL_H
#define NIXFLEET_PHASE_INTERNAL_H

#include <string.h>

#include "phase.h"

struct line {
    const char *text; /* not terminated; without what was in front of it */
    size_t length;
    const char *after; /* behind the prefix of the rule */
    int64_t number;
    bool redrawn;
    const char *whole; /* the line as it was printed */
    size_t whole_length;
};

struct stream;
struct rule {
    const char *prefix; /* DIGIT matches any digit */
    bool (*handle)(struct stream *stream, const struct line *line,
                   int argument); /* returns false if the line is a different one after all */
    int argument;
    bool redrawn; /* also for states of a line that will be overwritten */
};
#define DIGIT "\x01"

/* Derivations that were announced or have started, and paths to fetch; found by the hash in their
   store path, and by name. */
struct drv_set {
    uint64_t *key; /* open addressing; the lowest two bits are DRV_… flags; 0: free */
    size_t capacity, count;
};
enum { DRV_LISTED = 1, DRV_STARTED = 2 };
/* further ones are not remembered; then every well-formed name is accepted */
#define DRV_SET_MAX 65536

/* A count that a tool shows as done/expected, and that may start again from 0 with the next nix
   command. */
struct meter {
    bool known;
    int64_t done, expected, running, failed; /* of the nix command that runs */
    int64_t raw, excess; /* expected as it was reported; the part of it that is too much */
    int64_t highest;     /* the highest `expected` of this nix command */
    bool worked;         /* some of it ran in this nix command */
    int64_t base_done, base_expected, base_failed; /* of the nix commands before */
    int64_t base_final; /* the same if they ended well, because an expectation can shrink */
};

/* From the best to the worst one to show; GENERAL and SUSPECT count the same. */
enum error_rank {
    RANK_NONE,
    RANK_CONSEQUENCE, /* an error whose cause is another one */
    RANK_SUSPECT,     /* words of some program that look like an error */
    RANK_GENERAL,
    RANK_CAUSE
};

/* An error that was seen. */
struct trouble {
    char *text;
    int64_t line;
    enum error_rank rank;
    enum phase_id during;
    bool survived; /* the command continued with a later step */
    bool hard;     /* a suspect that ends a program */
    const struct stream *stream;
};

/* Which lines are nix's own: a legacy build mixes the output of its builders with nix's lines. */
struct belief {
    struct drv_set drvs;
    bool raw_open; /* a legacy build may still write output of its builders between nix's lines */
    bool units_block; /* the output of systemctl about failed units, with journal lines */
    bool system_listed,
        system_started; /* a nixos-system, darwin-system or home-manager-generation has started */
    /* a derivation is built on another machine, so paths are copied that no list has */
    bool remote;
    bool system_last;     /* the derivation that started last is such a system */
    bool rebuild_started; /* the derivation that started last is nixos-rebuild or nix itself */
    /* key of the derivation that was listed last: the others are needed for it */
    uint64_t last_listed;
    uint64_t last_started;
    /* since raw_open; with --keep-going, others continue after a failure */
    int64_t open_started, open_failed;
    /* the derivation that started last failed; one has started after a failure */
    bool last_failed, kept_going;
};

/* What nix's permanent lines announced, and how it ended. */
struct lists {
    enum { LIST_NONE, LIST_BUILD, LIST_FETCH } kind; /* the list whose entries may follow now */
    bool counted;                                    /* its header had a number */
    bool confirmed;                                  /* an entry has followed */
    bool last;                                       /* a list was the last thing that came */
    int64_t left;      /* entries that its header promised and that have not come */
    int64_t announced; /* entries that its header promised */
    int64_t bytes;     /* download size in a header of paths, counted when its first entry comes */
    int64_t listed, started, copies, copies_listed;
    bool copies_known; /* a number of paths was reported, even 0 */
    bool result_seen;
};

struct meters {
    struct meter builds, paths;
    int64_t bytes_done, bytes_expected;
    bool bar_last, bar_seen; /* a bar is on the last line */
    char last_bar[256];      /* the beginning of this bar */
    bool monitor_open;       /* nix-output-monitor has not reported its end */
};

#define RECENT_MAX 16
/* Lines that no rule knew since the last line that a rule knew. */
struct recent {
    struct {
        char text[400];
        size_t length;
        int64_t line;
    } at[RECENT_MAX];
    size_t count; /* their number; only the last RECENT_MAX are stored */
};

struct errors {
    enum { ERROR_WHOLE, ERROR_WAITS, ERROR_ITEMS } open; /* its text is on the next lines */
    enum { BLOCK_NONE, BLOCK_RUST, BLOCK_TRACEBACK, BLOCK_MESSAGE } block;
    bool inside;    /* the lines since the last error belong to it */
    bool reported;  /* the present line reported an error */
    int entry;      /* the index of the last error of this stream in the run's list; -1: none */
    int hash_lines; /* lines of a hash mismatch that are still to come */
    bool failure;   /* the text reports a failure, but no error that could be shown */
    char pending_drv[256]; /* "Cannot build" of newer nix, which waits for its reason */
    char pending_text[PHASE_TEXT_SIZE];
    uint64_t pending_key;
    int64_t pending_line;
    char guess[PHASE_TEXT_SIZE]; /* an "error:" that may be a builder's */
    int64_t guess_line;
    bool guess_last; /* it is the last thing that came */
    struct recent *recent;
};

/* The steps of a rebuild, a pull, a test. */
struct steps {
    bool rebuild, switched_badly, would, finished;
    bool activated; /* a last step of an activation was reached */
    bool home;      /* home-manager's activation is running */
    bool pull_ok, update_ok, tests_seen, tests_bad;
    bool deploy; /* the lines of this stream are from a deployment tool */
};

struct host {
    struct phase_host seen;
    struct stream *last; /* the stream that entered a phase last */
    bool replay;         /* its tool prints its log again, so nothing of it happens now */
};

/* The derivations of the run, and a table that finds them by keys. */
struct derivations {
    struct derivation *at;
    size_t count, capacity;
    uint64_t *key; /* open addressing; 0: free */
    size_t *index; /* the index of the derivation with this key */
    size_t keys, slots;
    size_t stopped;    /* derivations whose success is not known yet */
    int64_t succeeded; /* derivations that were surely counted as done */
};

struct stream {
    struct phase *run;
    struct host *host; /* NULL: not known */
    const struct stream *parent;
    bool systemd;              /* its lines are from systemd itself */
    char key[PHASE_HOST_SIZE]; /* what is in front of its lines; "" for the first stream */
    enum phase_id phase;
    struct progress progress;
    int64_t failed; /* failed derivations */
    struct belief believe;
    struct lists lists;
    struct meters meters;
    struct errors errors;
    struct steps steps;
    char builder_name[96]; /* in front of the last line of a builder; "": no line had a name */
    size_t builder;        /* index of its derivation; SIZE_MAX: not known */
    size_t in_bar;         /* of the only running derivation; SIZE_MAX: none */
};

#define STREAMS_MAX 256

#define RECORDS_MAX 16
/* What a nix process counts in its internal log. */
struct record {
    uint64_t process;
    struct meter builds, paths;
};

/* The first bytes of a rule's prefix, which are compared before anything else of the rule. */
struct rule_entry {
    uint64_t value, mask;
    const struct rule *rule;
};

struct phase {
    struct phase_view view;
    bool view_old; /* errors came since it was computed */
    bool label_switch, label_pull;
    struct rule_entry *rules;           /* by first byte */
    uint16_t rules_from[257];           /* rules of a byte: from [byte] to [byte + 1] */
    struct stream *stream[STREAMS_MAX]; /* [0]: lines with nothing in front */
    struct host *host[PHASE_HOSTS_MAX];
    const struct phase_host *hosts[PHASE_HOSTS_MAX]; /* the same, for the view */
    size_t stream_count, host_count, drvs_known;
    struct trouble trouble[PHASE_ERRORS_MAX];
    size_t trouble_count;
    bool quoted;                /* lines are quoted with "> " */
    size_t nixops_width;        /* length of "name....>" of nixops */
    size_t node_column;         /* the column of colmena's " | "; 0: not known */
    char node[PHASE_HOST_SIZE]; /* the node whose log colmena prints */
    struct derivations derivations;
    struct record record[RECORDS_MAX]; /* a later process replaces an earlier one */
    size_t record_count;
    size_t owner;   /* of the lines that follow; SIZE_MAX: not known */
    int64_t now_ms; /* -1: not known */
    bool all_done;  /* the tool that manages all hosts reported success */
};

/* Text. */
static inline bool starts(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);
    if (length == 0 || n == 0 || *text != *prefix) /* most texts differ here */
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
/* Reads digits at *at, and moves *at behind them. False if there are none, or too many. */
bool take_number(const char **at, const char *end, int64_t *value);
/* The first occurrence of needle, or NULL. */
const char *find(const char *text, size_t length, const char *needle);
/* Copies a text that may be shortened, but not within a character. */
void text_copy(char *out, size_t size, const char *text, size_t length);

/* A path in a nix store. */
struct store_path {
    const char *hash, *name;
    size_t name_length; /* without .drv */
    bool drv;
    const char *after;
};

/* phase.c */
/* The stream enters a phase. */
void phase_set(struct stream *stream, enum phase_id id);
/* Sets what the run does now. */
void phase_current(struct stream *stream, const char *text, size_t length);
/* False if the name was in the list before. */
bool names_add(struct phase_names *names, const char *text, size_t length);
/* Adds a failed unit to the stream's host and to the run. */
void phase_unit_failed(struct stream *stream, const char *text, size_t length);
/* Whether a rule of nix or of a switch has this beginning of a line. */
bool phase_knows(const struct phase *phase, const char *text, size_t length);
/* The stream for lines with this key in front, inside `parent`; creates it if needed. host: the key
   is the name of a host. NULL if there are too many. */
struct stream *phase_stream(struct phase *phase, const struct stream *parent, const char *key,
                            size_t length, bool host);
/* The host with this name; created if it is new. NULL if there are too many. */
struct host *phase_host(struct phase *phase, const char *name, size_t length);

/* phase_front.c */
/* Removes what is in front of a line: *line becomes the rest. Returns the stream of the line.
 * level: set if a tool marks the line as an error. */
struct stream *front_take(struct phase *phase, struct line *line, bool *level);

/* phase_trouble.c */
extern const struct rule trouble_rules[];
/* Records an error. A remembered line before it that looks like an error (trouble_remember) is
 * recorded first. */
void phase_error(struct stream *stream, enum error_rank rank, const char *text, size_t length,
                 int64_t line);
/* The same with the text of a line. */
void phase_error_line(struct stream *stream, enum error_rank rank, const struct line *line);
/* Adds a text to the stream's last error. */
void phase_error_more(struct stream *stream, const char *separator, const char *text,
                      size_t length);
/* The next error is the cause of the stream's last error. */
void phase_error_nested(struct stream *stream);
/* Stores a text that may be a builder's, for a failure that nothing explains better. */
void phase_error_guess(struct stream *stream, const char *text, size_t length, int64_t line);
/* Remembers a line that no rule knows. */
void trouble_remember(struct stream *stream, const struct line *line);
/* The command continues, so errors of earlier steps did not cause its failure. */
enum survived { SURVIVED_LINES, SURVIVED_CALL, SURVIVED_BUILD, SURVIVED_ALL };
void trouble_survived(struct stream *stream, enum survived what);
/* Records the first or last remembered line that looks like an error as a cause. */
bool trouble_blame(struct stream *stream, bool first);
/* Takes a line of an error with several lines. False if it is not such a line. */
bool trouble_block(struct stream *stream, const struct line *line);
bool trouble_any(const struct phase *phase);      /* an error that is not only a suspect */
bool trouble_failed(const struct stream *stream); /* the text reports a failure */
bool trouble_hard(const struct stream *stream); /* the last line is a suspect that ends a program */
bool trouble_open(const struct stream *stream); /* the last line is any suspect */
/* "Command '…' died with <Signals.…>." behind other text. */
bool trouble_command(struct stream *stream, const struct line *line, bool whole);
/* At the end of the run: records what was only remembered. */
void trouble_at_end(struct stream *stream);
/* Sets the errors of the view. */
void trouble_view(struct phase *phase);
void trouble_free(struct phase *phase);

/* phase_count.c */
/* Sets a meter to reported counts. */
void meter_set(struct meter *meter, int64_t running, int64_t done, int64_t expected,
               int64_t failed);
/* Computes the stream's progress from its lists and meters. */
void nix_progress(struct stream *stream);
/* Everything ended well, so what the last bar did not draw any more has ended well, too. */
void nix_complete(struct stream *stream);
/* Computes the sum of the streams. */
void progress_sum(struct phase *phase);

/* phase_build.c */
/* A derivation was listed, has started, was fetched, or has failed. */
void build_listed(struct stream *stream, const struct store_path *path);
void build_started(struct stream *stream, const struct store_path *path, const struct line *line);
void build_fetched(struct stream *stream, const struct store_path *path);
void build_failed(struct stream *stream, const struct store_path *path);
void build_failed_name(struct stream *stream, uint64_t key, const char *name);
/* Takes a name in a progress bar. */
void build_in_bar(struct stream *stream, const char *name, size_t length);
/* The counts of done and failed derivations rose by this much. */
void build_counted(struct stream *stream, int64_t more_done, int64_t more_failed);
/* Takes a line that may be a builder's. True if it is treated as one. */
bool build_line(struct stream *stream, const struct line *line);
/* The counts of internal-json or of the internal log changed: so many of the ended derivations were
 * built. */
void builds_counted(struct phase *phase);
/* At the end of the run: sets the states that are still open. */
void builds_end(struct phase *phase, bool success);
void builds_free(struct phase *phase);

/* phase_nix.c */
extern const struct rule nix_rules[];
/* Takes an indented line of a list. */
void nix_indented(struct stream *stream, const struct line *line);
bool nix_builder_may_write(
    const struct stream *stream); /* a line of a builder could look like any line now */
/* Whether the builds are over; rebuild: as far as the next step of a rebuild requires. */
bool nix_build_over(const struct stream *stream, bool rebuild);
/* Whether everything that was listed has started, the last one last. */
bool nix_all_started(const struct stream *stream);

/* phase_error.c */
extern const struct rule nix_error_rules[];
extern const struct rule error_rules[];
/* Takes an indented line of an error. */
void nix_error_indented(struct stream *stream, const struct line *line);
/* Records an error that waits for its reason. */
void nix_flush(struct stream *stream);

/* phase_drv.c */
/* Reads DIR/HASH-NAME[.drv] at text, with any directory, because stores can be elsewhere. */
bool take_path(const char *text, const char *end, struct store_path *path);
bool take_quoted_path(const char *at, const char *end, struct store_path *path);
/* Keys for drv_set: of the hash, of the name, of any text. */
uint64_t hash_key(const struct store_path *path);
uint64_t name_key(const struct store_path *path);
uint64_t text_hash(const char *text, size_t length);
/* Sets flags of a key. Returns the flags that it had before. */
unsigned drv_mark(struct stream *stream, uint64_t key, unsigned flags);
unsigned drv_flags(const struct stream *stream, uint64_t key);
void drv_set_free(struct drv_set *set);
/* Whether a line with this path may be nix's own, although a builder could have written it. */
bool known_drv(const struct stream *stream, const struct store_path *path);
/* The same for old messages, which name the built path instead of the derivation. */
bool known_name(const struct stream *stream, const struct store_path *path);

/* phase_bar.c */
extern const struct rule bar_rules[];
/* Takes the counts of a bar that was not overwritten. */
void bar_left_behind(struct stream *stream);

/* phase_switch.c */
extern const struct rule switch_rules[];

/* phase_deploy.c */
extern const struct rule deploy_rules[];
/* Takes a line of systemd about a unit of the run. */
bool deploy_systemd(struct stream *stream, const struct line *line);

/* phase_tools.c */
extern const struct rule tool_rules[];
/* Takes a line of a pull that no rule knows: git translates its text, but not its numbers. */
void git_other(struct stream *stream, const struct line *line);

#endif
