/* Settings to a struct config: options on top of what settings.c found, each text checked and
 * converted once. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "settings.h"

#define NAME_SIZE 64 /* of a label, as in struct run_info */
#define KEEP_BYTES_MAX (UINT64_C(1) << 60)

enum {
    OPTION_SHOW = 1000,
    OPTION_LIST,
    OPTION_FLUSH,
    OPTION_ANALYZE,
    OPTION_ROWS,
    OPTION_COLS,
    OPTION_COLOR,
    OPTION_MOVED_FROM,
    OPTION_DERIVATION,
    OPTION_CHANGES,
    OPTION_SETTING
};

static int fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, CONFIG_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return -1;
}

static int whole_number(const char *what, const char *text, long low, long high, long *out,
                        char *error)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    if (errno || end == text || *end || *out < low || *out > high)
        return fail(error, "%s: '%s' is not a whole number from %ld to %ld", what, text, low, high);
    return 0;
}

/* ---- options ---- */

static void fill_options(struct option *options, char *letters)
{
    static const struct option modes[] = {
        {"show", no_argument, NULL, OPTION_SHOW},
        {"list", no_argument, NULL, OPTION_LIST},
        {"flush", no_argument, NULL, OPTION_FLUSH},
        {"analyze", no_argument, NULL, OPTION_ANALYZE},
        {"rows", required_argument, NULL, OPTION_ROWS},
        {"cols", required_argument, NULL, OPTION_COLS},
        {"color", no_argument, NULL, OPTION_COLOR},
        {"moved-from", required_argument, NULL, OPTION_MOVED_FROM},
        {"changes", no_argument, NULL, OPTION_CHANGES},
        {"derivation", required_argument, NULL, OPTION_DERIVATION},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
    };
    size_t count = sizeof modes / sizeof *modes;

    memcpy(options, modes, sizeof modes);
    letters += sprintf(letters, "+:hV");
    for (int i = 0; i < SET_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        if (!row->option)
            continue;
        options[count++] = (struct option){row->option, row->flag ? no_argument : required_argument,
                                           NULL, OPTION_SETTING + i};
        if (row->letter)
            letters += sprintf(letters, "%c%s", row->letter, row->flag ? "" : ":");
    }
    options[count] = (struct option){0};
}

static int setting_of_letter(int letter)
{
    for (int i = 0; i < SET_COUNT; i++)
        if (setting_rows[i].letter == letter)
            return i;
    return -1;
}

static int set_mode(struct config *config, enum config_mode mode, char *error)
{
    bool asks = mode == MODE_HELP || mode == MODE_VERSION; /* also how another mode is used */

    if (config->mode != MODE_RUN && config->mode != mode && !asks)
        return fail(error, "only one of --show, --list, --flush, --analyze can be given");
    config->mode = mode;
    return 0;
}

static int take_size(uint32_t *out, const char *what, char *error)
{
    long number;

    if (whole_number(what, optarg, 0, 10000, &number, error) < 0)
        return -1;
    *out = (uint32_t)number;
    return 0;
}

/* Checks a URL and keeps it in *url, without slashes at its end. NULL is no URL. */
static int set_url(char **url, const char *text, char *error)
{
    const char *authority;
    size_t length;

    if (!text)
        return 0;
    if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
        return fail(error, "the URL '%s' does not begin with https:// or http://", text);
    authority = strstr(text, "://") + 3;
    if (memchr(authority, '@', strcspn(authority, "/?#"))) /* and it is not shown */
        return fail(error, "the URL must hold no user name or password");
    if (text[strcspn(text, " \t\r\n")] || *authority == '\0')
        return fail(error, "'%s' is not a URL", text);
    if (text[strcspn(text, "?#")])
        return fail(error, "'%s': paths are added to the URL: it must end before '?' or '#'", text);
    free(*url);
    *url = strdup(text);
    for (length = *url ? strlen(*url) : 0; length > 0 && (*url)[length - 1] == '/'; length--)
        (*url)[length - 1] = '\0';
    return *url ? 0 : fail(error, "out of memory");
}

static int take_option(struct config *config, struct setting_values *values, int option,
                       char *error)
{
    int which = option >= OPTION_SETTING ? option - OPTION_SETTING : setting_of_letter(option);

    switch (option) {
    case 'h':
        return set_mode(config, MODE_HELP, error);
    case 'V':
        return set_mode(config, MODE_VERSION, error);
    case OPTION_SHOW:
        return set_mode(config, MODE_SHOW, error);
    case OPTION_LIST:
        return set_mode(config, MODE_LIST, error);
    case OPTION_FLUSH:
        return set_mode(config, MODE_FLUSH, error);
    case OPTION_ANALYZE:
        return set_mode(config, MODE_ANALYZE, error);
    case OPTION_ROWS:
        return take_size(&config->rows, "--rows", error);
    case OPTION_COLS:
        return take_size(&config->cols, "--cols", error);
    case OPTION_COLOR:
        config->color = true;
        return 0;
    case OPTION_CHANGES:
        config->changes = true;
        return 0;
    case OPTION_DERIVATION:
        free(config->derivation);
        config->derivation = strdup(optarg);
        return config->derivation ? 0 : fail(error, "out of memory");
    case OPTION_MOVED_FROM:
        return set_url(&config->moved_from, optarg, error);
    default:
        break;
    }
    if (!setting_rows[which].flag && *optarg == '\0')
        return fail(error, "--%s: the value is empty", setting_rows[which].option);
    if (setting_put(values, (enum setting)which, setting_rows[which].flag ? "1" : optarg) < 0)
        return fail(error, "out of memory");
    return 0;
}

/* Whatever this process has parsed before. */
static void restart_getopt(void)
{
#ifdef __GLIBC__
    optind = 0;
#else
    optind = optreset = 1;
#endif
    opterr = 0;
}

/* getopt_long takes any unambiguous beginning of a name, so that --token would be --token-file. */
static bool is_abbreviated(const char *word, const char *name)
{
    return strlen(name) != strcspn(word + 2, "=");
}

static bool takes_operand(const struct config *config)
{
    return config->mode == MODE_SHOW || config->mode == MODE_ANALYZE;
}

/* --show FILE --color: behind the operand of a mode there may be more options, since no command
   follows. False: optind is not at such an operand. */
static bool skip_operand(struct config *config, int argc, char **argv)
{
    if (!takes_operand(config) || config->operand || optind >= argc ||
        strcmp(argv[optind - 1], "--") == 0)
        return false;
    config->operand = strdup(argv[optind]);
    optind += config->operand != NULL;
    return config->operand != NULL;
}

/* Reads the options; optind is then at the command or operand. */
static int read_options(struct config *config, struct setting_values *values, int argc, char **argv,
                        char *error)
{
    struct option options[SET_COUNT + 16];
    char letters[64];
    int option;

    fill_options(options, letters);
    restart_getopt();
    for (;;) {
        int at = optind > 0 ? optind : 1, which = -1;
        const char *word;

        option = getopt_long(argc, argv, letters, options, &which);
        if (option == -1 && skip_operand(config, argc, argv))
            continue;
        if (option == -1)
            return 0;
        word = argv[optind - 1];
        if (which >= 0 && is_abbreviated(argv[at], options[which].name))
            return fail(error, "%.*s: there is no such option (see --help)",
                        (int)strcspn(argv[at], "="), argv[at]);
        if (option == '?' && optopt > 0 && optopt < OPTION_SHOW)
            return fail(error, "-%c: there is no such option (see --help)", optopt);
        if (option == '?' && optopt >= OPTION_SHOW)
            return fail(error, "%s: the option takes no value", word);
        if (option == '?')
            return fail(error, "%s: there is no such option (see --help)", word);
        if (option == ':')
            return fail(error, "%s: the option needs a value", word);
        if (take_option(config, values, option, error) < 0)
            return -1;
        if (config->mode == MODE_HELP || config->mode == MODE_VERSION)
            return 0;
    }
}

/* ---- texts to values ---- */

static int set_host(struct config *config, const char *text, char *error)
{
    char name[256];

    if (text) {
        if (!host_id_normalize(text, config->host))
            return fail(error,
                        "the host '%s' is not a letter or digit, then letters, digits, '-' and "
                        "'_', 63 at most",
                        text);
        return 0;
    }
    if (gethostname(name, sizeof name) < 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    name[strcspn(name, ".")] = '\0';
    if (!host_id_normalize(name, config->host))
        config->host[0] = '\0'; /* asked for when something is to be sent */
    return 0;
}

static int set_keep_size(struct config *config, const char *text, char *error)
{
    char *end;
    unsigned long long number;
    int shift;

    config->keep_bytes = UINT64_C(1) << 30;
    if (!text)
        return 0;
    number = strtoull(text, &end, 10);
    shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == text || *text == '-' || end[shift > 0] || number > KEEP_BYTES_MAX >> shift)
        return fail(error,
                    "NIXFLEET_KEEP_SIZE: '%s' is not a number of bytes (K, M or G may follow)",
                    text);
    config->keep_bytes = number << shift;
    return 0;
}

static int set_numbers(struct config *config, const struct setting_values *values, char *error)
{
    const struct {
        enum setting which;
        const char *what;
        long low, high, standard;
    } rows[] = {
        {SET_HEARTBEAT, "the heartbeat's seconds", 5, 60, 10},
        {SET_FLUSH_TIMEOUT, "the flush timeout's seconds", 0, 3600, 10},
        {SET_KEEP_RUNS, "NIXFLEET_KEEP_RUNS", 0, 1000000, 100},
        {SET_KEEP_DAYS, "NIXFLEET_KEEP_DAYS", 0, 36500, 90},
    };
    long out[sizeof rows / sizeof *rows];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        out[i] = rows[i].standard;
        if (values->text[rows[i].which] &&
            whole_number(rows[i].what, values->text[rows[i].which], rows[i].low, rows[i].high,
                         &out[i], error) < 0)
            return -1;
    }
    config->heartbeat_s = (int)out[0];
    config->flush_timeout_s = (int)out[1];
    config->keep_runs = (size_t)out[2];
    config->keep_ms = (int64_t)out[3] * 24 * 3600 * 1000;
    return 0;
}

/* A flag in a variable; an option has set it to "1". */
static int set_flag(bool *flag, const struct setting_values *values, enum setting which,
                    char *error)
{
    static const char *const words[] = {"0", "false", "no", "1", "true", "yes"};
    const char *text = values->text[which];

    if (!text)
        return 0;
    for (int i = 0; i < 6; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *flag = i >= 3;
            return 0;
        }
    return fail(error, "%s: '%s' is neither 1, true, yes nor 0, false, no",
                setting_rows[which].variable, text);
}

static int set_flags(struct config *config, const struct setting_values *values, char *error)
{
    bool verbose = false;

    if (set_flag(&config->allow_insecure_http, values, SET_ALLOW_INSECURE_HTTP, error) < 0 ||
        set_flag(&config->nix_log, values, SET_NIX_LOG, error) < 0 ||
        set_flag(&config->no_stream, values, SET_NO_STREAM, error) < 0 ||
        set_flag(&config->nohup, values, SET_NOHUP, error) < 0 ||
        set_flag(&config->scope, values, SET_SCOPE, error) < 0 ||
        set_flag(&config->quiet, values, SET_QUIET, error) < 0 ||
        set_flag(&verbose, values, SET_VERBOSE, error) < 0)
        return -1;
    config->verbose = verbose;
    return 0;
}

static bool has_word(char **words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

/* Of letters, digits and '_', '*', '?', and lists in brackets. fnmatch(3) takes anything, and
 * matches nothing then. */
static bool is_pattern(const char *word)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

    while (*word) {
        if (*word == '[') {
            size_t length;

            word += 1 + (word[1] == '!' || word[1] == '^');
            length = strspn(word, letters);
            length += strspn(word + length, "-") ? 1 + strspn(word + length + 1, letters) : 0;
            if (length == 0 || word[length] != ']')
                return false;
            word += length;
        } else if (!strchr(letters, *word) && !strchr("*?", *word)) {
            return false;
        }
        word++;
    }
    return true;
}

static int set_redact(struct config *config, const char *list, char *error)
{
    AUTO_FREE char *copy = strdup(list ? list : "");
    size_t count = 0;
    char *rest = copy, *word;

    config->redact = calloc(strlen(list ? list : "") / 2 + 2, sizeof *config->redact);
    if (!copy || !config->redact)
        return fail(error, "out of memory");
    while ((word = strsep(&rest, ", ")))
        if (*word && !is_pattern(word))
            return fail(error, "--redact: '%s' is no pattern of variables' names", word);
        else if (*word && !has_word(config->redact, word) &&
                 !(config->redact[count++] = strdup(word)))
            return fail(error, "out of memory");
    return 0;
}

/* Where v1's agent keeps the token it was given; only a file of ours or root's is believed. */
static char *default_token_cache(const struct config *config)
{
    const char *home = getenv("HOME");
    char *paths[3] = {strdup("/var/lib/nixfleet-agent/token"), NULL, NULL}, *found = NULL;

    if (asprintf(&paths[1], "%s/.local/state/nixfleet-agent/token", home ? home : "") < 0)
        paths[1] = NULL;
    if (asprintf(&paths[2], "/tmp/nixfleet-agent-token-%s", config->host) < 0)
        paths[2] = NULL;
    for (int i = 0; i < 3; i++) {
        struct stat info;

        if (!found && paths[i] && access(paths[i], R_OK) == 0 && lstat(paths[i], &info) == 0 &&
            S_ISREG(info.st_mode) && (info.st_uid == geteuid() || info.st_uid == 0))
            found = paths[i];
        else
            free(paths[i]);
    }
    return found;
}

static char *take(struct setting_values *values, enum setting which)
{
    char *text = values->text[which];

    values->text[which] = NULL;
    return text;
}

/* A helper has another working directory. Where the own one is not known, the path stays. */
static int make_absolute(char **path)
{
    AUTO_FREE char *cwd = *path && **path != '/' ? getcwd(NULL, 0) : NULL;
    char *absolute;

    if (!cwd)
        return 0;
    if (asprintf(&absolute, "%s/%s", cwd, *path) < 0)
        return -1;
    free(*path);
    *path = absolute;
    return 0;
}

/* Who asks for a certain key or authority must not be left without any. */
static int check_tls(const struct config *config, char *error)
{
    if (!config->url || strncasecmp(config->url, "http:", 5) != 0 ||
        (!config->ca_file && !config->pinned_pubkey))
        return 0;
    return fail(error, "%s is for https, and the URL is %s",
                config->ca_file ? "--cacert" : "--pinned-pubkey", config->url);
}

static int set_all(struct config *config, struct setting_values *values, char *error)
{
    char name[NAME_SIZE];

    if (set_url(&config->url, values->text[SET_URL], error) < 0 ||
        set_host(config, values->text[SET_HOST], error) < 0 ||
        set_numbers(config, values, error) < 0 || set_flags(config, values, error) < 0 ||
        set_keep_size(config, values->text[SET_KEEP_SIZE], error) < 0 ||
        set_redact(config, values->text[SET_REDACT], error) < 0)
        return -1;
    config->name = take(values, SET_NAME);
    if (config->name && strlen(config->name) >= NAME_SIZE)
        return fail(error, "the name is longer than %d bytes", NAME_SIZE - 1);
    if (!config->name && config->command) {
        config_derive_name(config->command, name, sizeof name);
        config->name = strdup(name);
    }
    config->log = take(values, SET_LOG);
    config->token_file = take(values, SET_TOKEN_FILE);
    config->token_cache = take(values, SET_TOKEN_CACHE);
    if (!config->token_cache)
        config->token_cache = default_token_cache(config);
    config->token = take(values, SET_TOKEN);
    config->ca_file = take(values, SET_CA_FILE);
    config->pinned_pubkey = take(values, SET_PINNED_PUBKEY);
    config->state_dir = take(values, SET_STATE_DIR);
    if (!config->state_dir)
        config->state_dir = config_state_dir();
    if (make_absolute(&config->token_file) < 0 || make_absolute(&config->token_cache) < 0 ||
        make_absolute(&config->ca_file) < 0 || make_absolute(&config->state_dir) < 0 ||
        (config->pinned_pubkey && strncmp(config->pinned_pubkey, "sha256//", 8) != 0 &&
         make_absolute(&config->pinned_pubkey) < 0))
        return fail(error, "out of memory");
    return check_tls(config, error);
}

/* What stands behind the options: a command, or the operand of a mode. */
static int take_operands(struct config *config, int argc, char **argv, char *error)
{
    int left = argc - optind;
    bool operand = takes_operand(config) && !config->operand;

    if (config->changes && config->mode != MODE_SHOW)
        return fail(error, "--changes is for --show only");
    if (config->derivation && config->mode != MODE_SHOW)
        return fail(error, "--derivation is for --show only");
    if (config->moved_from && config->mode != MODE_FLUSH)
        return fail(error, "--moved-from is for --flush only");
    if (config->mode == MODE_RUN) {
        config->command = left > 0 ? argv + optind : NULL; /* a helper of a run has none */
        return 0;
    }
    if (left > (operand ? 1 : 0))
        return fail(error, "%s: unexpected argument", argv[optind + (operand ? 1 : 0)]);
    if (config->mode == MODE_ANALYZE && !config->operand && left == 0)
        return fail(error, "--analyze: which file? ('-' for standard input)");
    if (left > 0 && !(config->operand = strdup(argv[optind])))
        return fail(error, "out of memory");
    return 0;
}

/* The settings and options of a program. */
static int load(struct config *config, struct setting_values *values, int argc, char **argv,
                char *error)
{
    struct setting_values options = {{0}};
    int result = -1;

    if (settings_from_sources(values, SOURCE_COUNT, error) == 0 &&
        read_options(config, &options, argc, argv, error) == 0)
        result = settings_merge(values, &options);
    settings_free(&options);
    if (result < 0)
        return error[0] ? -1 : fail(error, "out of memory");
    if (config->mode == MODE_HELP || config->mode == MODE_VERSION)
        return 0;
    return take_operands(config, argc, argv, error) < 0 ? -1 : set_all(config, values, error);
}

int config_load(struct config *config, int argc, char **argv, char error[CONFIG_ERROR_SIZE])
{
    struct setting_values values = {{0}};
    int result;

    memset(config, 0, sizeof *config);
    error[0] = '\0';
    result = load(config, &values, argc, argv, error);
    settings_free(&values);
    if (result < 0)
        config_free(config);
    return result;
}

bool config_of_dashboard(struct config *config, const char *url)
{
    for (int count = SOURCE_COUNT; count > 0; count--) {
        struct setting_values values = {{0}};
        char error[CONFIG_ERROR_SIZE];
        bool ok;

        memset(config, 0, sizeof *config);
        ok = settings_from_sources(&values, count, error) == 0 &&
             set_all(config, &values, error) == 0 && config->url && strcmp(config->url, url) == 0;
        settings_free(&values);
        if (ok)
            return true;
        config_free(config);
    }
    return false;
}

void config_free(struct config *config)
{
    for (char **pattern = config->redact; pattern && *pattern; pattern++)
        free(*pattern);
    free(config->redact);
    free(config->operand);
    free(config->url);
    free(config->moved_from);
    free(config->derivation);
    free(config->name);
    free(config->log);
    free(config->state_dir);
    free(config->token_file);
    free(config->token_cache);
    free(config->token);
    free(config->ca_file);
    free(config->pinned_pubkey);
    memset(config, 0, sizeof *config);
}
