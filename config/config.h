/* What the wrapper is asked to do. The order of precedence: option, environment,
   $XDG_CONFIG_HOME/nixfleet/run.conf, /etc/nixfleet/run.conf. An empty value means "not set". A
   token, its files, the CA file and the pinned key belong to the dashboard whose URL their source,
   or a weaker source, has. A stronger source that has another URL drops them.

   Used by nixfleet-run (all of it) and by nixfleet-report (which gets the resolved values as
   environment variables). */
#ifndef NIXFLEET_CONFIG_H
#define NIXFLEET_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/id.h"

enum config_mode {
    MODE_RUN,
    MODE_SHOW,
    MODE_LIST,
    MODE_FLUSH,
    MODE_ANALYZE,
    MODE_HELP,
    MODE_VERSION
};

/* What is wrong in files and variables, for a person: one line each, without LF. */
#define CONFIG_WARNINGS_MAX 8
struct config_warnings {
    char *line[CONFIG_WARNINGS_MAX];
    size_t count;
};

struct config {
    enum config_mode mode;
    char *operand;  /* of --show and --analyze, or NULL */
    char **command; /* what to run; points into argv */
    /* The settings of common/setting_list.h. A char * that is not set is NULL. */
    char *url;               /* without '/' at the end; NULL: only log */
    char host[HOST_ID_SIZE]; /* if not set: the host name up to its first dot, "" if this is not a
                                host id */
    char *name;              /* if not set: derived from the command */
    char *log;
    char *state_dir; /* if not set: config_state_dir(); NULL if this fails */
    int heartbeat_s;
    char *token_file;
    char *token_cache; /* if not set: the agent's default file, if it can be read */
    char *token;       /* only from environment or file, never an option */
    char *ca_file;
    char *pinned_pubkey; /* in curl's form */
    bool allow_insecure_http;
    int flush_timeout_s;
    bool nix_log; /* give the command a file for nix's internal log */
    bool no_pty, no_stream, nohup, scope, quiet, verbose;
    char **redact; /* extra patterns for names, from all sources; NULL-terminated */
    int keep_runs, keep_days;
    uint64_t keep_bytes;
    /* These are options only. */
    bool changes;     /* --changes: --show prints what the run changed */
    char *derivation; /* --derivation: --show prints the build log of this derivation */
    char *moved_from; /* --moved-from: the former URL of the dashboard, in records of runs */
    bool color;
    uint32_t rows, cols; /* --rows, --cols: 0 if not given */
    struct config_warnings warnings;
};

/* Reads options, environment and files into config, which the caller frees with config_free. Skips
   a wrong line or variable and adds a sentence to config->warnings. Returns 0; or -1 if an option
   is wrong, with one line (without program name and LF) in error, which the caller prints before it
   exits with 125. */
#define CONFIG_ERROR_SIZE 512
int config_load(struct config *config, int argc, char **argv, char error[CONFIG_ERROR_SIZE]);
/* The settings for the dashboard at url (in the form of config->url), without options: from
   environment and files, or files only, or the system's file only, whichever is the first with this
   url. True: the caller frees config. False: none has this url, nothing to free. */
bool config_of_dashboard(struct config *config, const char *url);
void config_free(struct config *config);
/* The state directory if no setting has one: the first entry of $LOGS_DIRECTORY under systemd, else
   /var/log/nixfleet for root, else $XDG_STATE_HOME/nixfleet or ~/.local/state/nixfleet. The caller
   frees the path. NULL with errno. Does not create the directory. */
char *config_state_dir(void);
/* The environment of a helper: `environment`, with every resolved value (except the token) as its
   NIXFLEET_ variable, and with variables that save its libraries needless work. The caller frees
   the array and its entries. NULL when out of memory. The command never gets these variables. */
char **config_environment(const struct config *config, char *const environment[]);
/* Whether a program such as sudo or env runs the command: the first of its words, or after other
 * such programs. */
bool config_runs_through(char *const command[], const char *program);
/* Derives the label of a command; looks behind sudo, doas, env, nice, systemd-run, and paths.
 * Writes at most size bytes, with a NUL. */
void config_derive_name(char *const command[], char *out, size_t size);

#endif
