/* What the wrapper was asked to do: options, environment, and two files, in one order of
   precedence: option, environment, $XDG_CONFIG_HOME/nixfleet/run.conf, /etc/nixfleet/run.conf. An
   empty value is an unset one. A token, its files, the CA file and the pinned key belong to the
   dashboard that their source or a weaker one names: a source that names another one drops them.
   Used by nixfleet-run (all of it) and nixfleet-report (which is given the resolved values as
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

/* What is wrong in files and variables, for a person; a line each, without LF. */
#define CONFIG_WARNINGS_MAX 8
struct config_warnings {
    char *line[CONFIG_WARNINGS_MAX];
    size_t count;
};

struct config {
    enum config_mode mode;
    char *operand;  /* of --show and --analyze, or NULL */
    char **command; /* what to run: points into argv */
    /* The settings of common/setting_list.h. */
    char *url;               /* without trailing '/', or NULL: log only */
    char host[HOST_ID_SIZE]; /* else the host name up to its first dot; "": that is no host id */
    char *name;              /* else derived from the command */
    char *log;               /* or NULL */
    char *state_dir;         /* else config_state_dir(); NULL if there is none */
    int heartbeat_s;
    char *token_file;
    char *token_cache; /* else the agent's default caches where they are readable */
    char *token;       /* only ever from environment or file */
    char *ca_file;
    char *pinned_pubkey; /* curl's form */
    bool allow_insecure_http;
    int flush_timeout_s;
    bool nix_log; /* give the command a file for nix's own record */
    bool no_pty, no_stream, nohup, scope, quiet, verbose;
    char **redact; /* extra name patterns, of all sources; NULL-terminated */
    int keep_runs, keep_days;
    uint64_t keep_bytes;
    /* Options only. */
    bool changes;     /* --changes: --show prints what the run changed */
    char *derivation; /* --derivation: of it --show prints the build log */
    char *moved_from; /* --moved-from: the URL that the dashboard had when runs were recorded */
    bool color;
    uint32_t rows, cols; /* --rows, --cols: 0 if not given, or if there was no window */
    struct config_warnings warnings;
};

/* Reads options, environment and files into config. What is wrong in a file or a variable is passed
   over, and told in config->warnings. On a wrong option returns -1 with one line (without program
   name and LF) in error: the caller prints it and exits 125. */
#define CONFIG_ERROR_SIZE 512
int config_load(struct config *config, int argc, char **argv, char error[CONFIG_ERROR_SIZE]);
/* The settings with which a dashboard is reached that the options do not name: those of the
   environment and the files, or of the files, or of the system's file alone, whichever comes first
   that names url (in the form of config->url). False, and nothing to free, when none does. */
bool config_of_dashboard(struct config *config, const char *url);
void config_free(struct config *config);
/* The state directory where no setting names one: $LOGS_DIRECTORY's first entry under systemd, else
   /var/log/nixfleet for root, else $XDG_STATE_HOME/nixfleet or ~/.local/state/nixfleet. Caller
   frees. NULL with errno. Makes nothing. */
char *config_state_dir(void);
/* The environment of a helper: this one with every resolved value (not the token) as its NIXFLEET_
   variable, and with what spares its libraries needless work. A new array that the caller frees,
   with its entries; NULL when out of memory. The command never gets this one. */
char **config_environment(const struct config *config, char *const environment[]);
/* Whether a command is run by sudo(8), also behind env, nice and other commands that run one. */
bool config_runs_sudo(char *const command[]);
/* The label of a command: looks through sudo, doas, env, nice, systemd-run, paths. Writes at most
 * size bytes. */
void config_derive_name(char *const command[], char *out, size_t size);

#endif
